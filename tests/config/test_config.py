"""Settings: what is unknown or absurd is refused by name, and what is accepted comes back the same by every way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.config import Config, Engine, Settings, from_run_config, from_tree, with_protocol
from fedrec.errors import ConfigError
from fedrec.queries.plan import shares_of
from fedrec.queries.registry import QUERIES as REGISTERED


def sections(kind: type[Settings] = Config, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every section, from the root down."""
    yield path
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from sections(field.annotation, (*path, name))


def nested(path: tuple[str, ...], leaf: Mapping[str, Any]) -> dict[str, Any]:
    tree = dict(leaf)
    for name in reversed(path):
        tree = {name: tree}
    return tree


def complaint(tree: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        from_tree(tree)
    assert caught.value.action
    return str(caught.value)


@pytest.mark.parametrize("path", list(sections()), ids=".".join)
def test_an_unknown_key_is_refused_by_its_full_name(path: tuple[str, ...]) -> None:
    assert f"{'.'.join((*path, 'slip'))}: unknown key" in complaint(nested(path, {"slip": 1}))


def test_a_section_that_is_none_is_told_the_sections_there_are() -> None:
    said = complaint({"privcy": {}})
    assert all(name in said for name in Config.model_fields)


def test_every_bad_field_is_named_at_once() -> None:
    said = complaint({"training": {"rounds": -1}, "privacy": {"clip": 0}, "run": {"seed": "soon"}})
    assert all(name in said for name in ("training.rounds", "privacy.clip", "run.seed", "-1", "'soon'"))


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [
        ("run.seed", (0, 2**63 - 1), (-1, 2**63, 0.5)),
        ("content.text.dimension", (2, 4096), (1, 4097)),
        ("content.image.size", (16, 512), (15, 513)),
        ("content.audio.seconds", (0.1, 120), (0.09, 121)),
        ("content.audio.highest", (500, 24000), (499, 24001)),
        ("content.audio.mels", (8, 128), (7, 129)),
        ("content.audio.frames", (8, 512), (7, 513)),
        ("content.audio.encoder", ("statistics", "logmel"), ("pixels",)),
        ("content.video.frames", (1, 256), (0, 257)),
        ("content.video.encoder", ("statistics", "resnet18"), ("pixels",)),
        ("model.head_rank", (0, 512), (-1, 513)),
        ("model.audio_encoder", ("head", "cnn"), ("vgg",)),
        ("content.modalities", (["text"], []), (["sound"], "text")),
        ("model.warm_start", (0, 1, None), (-0.1, 1.1)),
        ("collaborative.scoring.weight", (0, 1), (-0.001, 1.001)),
        ("collaborative.solver.ridge", (1e-9,), (0, -1)),
        ("training.rounds", (0,), (-1, 1.5)),
        ("training.momentum", (0, 0.999), (1,)),
        ("training.sampling", ("full", "poisson", "fixed"), ("some",)),
        ("training.learning_rate", (1e-9,), (0, float("nan"))),
        ("privacy.epsilon", (1e-6, 100, None), (0, -1, 101, float("nan"), float("inf"))),
        ("privacy.delta", (1e-300, 0.09, None), (0, 0.1, 1)),
        ("privacy.noise_place", ("server", "distributed"), ("nowhere",)),
        ("secure_aggregation.resolution_bits", (8, 40, None), (7, 41)),
        ("evaluation.split", ("test", "valid"), ("train",)),
    ],
)
def test_bounds(field: str, allowed: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    *path, leaf = field.split(".")
    for value in allowed:
        from_tree(nested(tuple(path), {leaf: value}))
    for value in refused:
        assert field in complaint(nested(tuple(path), {leaf: value}))


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().privacy.epsilon = None  # type: ignore[misc]


def test_a_private_run_needs_parts_of_bounded_norm() -> None:
    bounded = {"privacy": {"epsilon": 8}, "collaborative": {"cooccurrence": {"normalise": 1}}}
    assert from_tree(bounded).privacy.epsilon == 8
    assert "normalise" in complaint({**bounded, "collaborative": {"cooccurrence": {"normalise": 0.5}}})
    from_tree({**bounded, "collaborative": {"cooccurrence": {"normalise": 0.5, "enabled": False}}})
    from_tree({"collaborative": {"cooccurrence": {"normalise": 0.5}}})


@pytest.mark.parametrize("shares", [{"training": 0}, {"training": -1}, {"training": float("nan")}])
def test_shares_are_above_zero(shares: Mapping[str, float]) -> None:
    assert "privacy.shares" in complaint({"privacy": {"shares": shares}})


def test_shares_are_of_queries_that_there_are() -> None:
    said = complaint({"privacy": {"shares": {"gossip": 1}}})
    assert "privacy.shares" in said
    assert "'gossip'" in said


def test_where_no_share_is_named_each_query_has_its_own() -> None:
    assert from_tree({}).privacy.shares == from_tree({"privacy": {"shares": {}}}).privacy.shares == {}
    known = {
        "popularity": 0.1,
        "cooccurrence": 0.5,
        "directions": 0.1,
        "factors": 0.5,
        "training": 0.35,
        "validation": 0.05,
        "metrics": 0.05,
    }
    assert known.items() <= shares_of(Config(), tuple(REGISTERED)).items()
    some = from_tree({"privacy": {"shares": {"popularity": 2, "training": 1}}})
    assert shares_of(some, [REGISTERED["popularity"]]) == {"popularity": 2}
    with pytest.raises(ConfigError, match="no share"):
        shares_of(some, [REGISTERED["popularity"], REGISTERED["metrics"]])


def test_modalities_are_named_once() -> None:
    assert "content.modalities" in complaint({"content": {"modalities": ["text", "image", "text"]}})


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these fields, the others left to their defaults."""
    return st.fixed_dictionaries({}, optional=fields)


SHARE = st.floats(0, 1, allow_subnormal=False)
ABOVE = st.floats(1e-12, 1e12)
QUERIES = st.sampled_from(["popularity", "cooccurrence", "training", "metrics"])
TREES = some(
    run=some(name=st.text(), seed=st.integers(0, 2**63 - 1), reproducible=st.booleans()),
    content=some(
        modalities=st.lists(st.sampled_from(["text", "image", "attributes"]), unique=True),
        text=some(encoder=st.sampled_from(["lsa", "tokens"]), dimension=st.integers(2, 1024)),
        image=some(size=st.integers(16, 512)),
    ),
    model=some(fusion=st.sampled_from(["mean", "gated"]), warm_start=st.none() | SHARE, notes=st.booleans()),
    collaborative=some(
        solver=some(ridge=ABOVE),
        prior=some(modalities=st.dictionaries(st.text(), SHARE)),
        scoring=some(weight=SHARE),
    ),
    training=some(rounds=st.integers(0, 10**6), learning_rate=ABOVE, sampling=st.sampled_from(["full", "poisson"])),
    privacy=some(
        unit=st.sampled_from(["user", "example"]),
        epsilon=st.none() | st.floats(1e-9, 100),
        delta=st.none() | st.floats(1e-300, 0.09),
        shares=st.dictionaries(QUERIES, ABOVE, min_size=1),
    ),
    evaluation=some(every=st.integers(0), split=st.sampled_from(["test", "valid"])),
)


@given(TREES)
def test_whatever_is_accepted_comes_back_the_same(tree: dict[str, Any]) -> None:
    config = from_tree(tree)
    assert from_tree(config.model_dump()) == config
    assert from_tree(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert from_run_config(config.model_dump_json(), Path()) == config
    assert from_tree(config.model_dump(exclude_unset=True)) == config
    for name, section in tree.items():
        written = config.model_dump()[name]
        assert all(written[key] == value for key, value in section.items() if not isinstance(value, list | dict))


@pytest.mark.parametrize(("engine", "protocol"), [("cohort", "none"), ("grid", "secagg+"), ("flower", "secagg+")])
def test_sums_are_masked_wherever_messages_are_sent(engine: Engine, protocol: str) -> None:
    config = from_tree({})
    assert config.secure_aggregation.protocol == "auto"
    settled = with_protocol(config, engine)
    assert settled.secure_aggregation.protocol == protocol
    assert with_protocol(settled, engine) == settled


def test_secure_aggregation_that_cannot_be_is_refused() -> None:
    secure = from_tree({"secure_aggregation": {"protocol": "secagg+"}})
    with pytest.raises(ConfigError, match="cohort"):
        with_protocol(secure, "cohort")
    sampled = from_tree({"training": {"sampling": "fixed", "cohort": 6}})
    with pytest.raises(ConfigError, match="fewer than 20"):
        with_protocol(sampled, "grid")
    assert with_protocol(sampled, "cohort").secure_aggregation.protocol == "none"


@pytest.mark.parametrize("epsilon", [8.0, None])
@pytest.mark.parametrize("engine", ["cohort", "grid", "flower"])
def test_devices_share_the_noise_wherever_there_are_devices(engine: Engine, epsilon: float | None) -> None:
    config = from_tree({"privacy": {"epsilon": epsilon}})
    assert config.privacy.noise_place == "auto"
    settled = with_protocol(config, engine)
    assert settled.privacy.noise_place == ("server" if engine == "cohort" or epsilon is None else "distributed")
    assert with_protocol(settled, engine) == settled
    chosen = from_tree({"privacy": {"epsilon": epsilon, "noise_place": "server"}})
    assert with_protocol(chosen, engine).privacy.noise_place == "server"


@pytest.mark.parametrize(
    "tree",
    [
        {"training": {"sampling": "poisson", "cohort": 30}},
        {"training": {"sampling": "cyclic", "cohort": 30}, "privacy": {"noise": "banded"}},
        {"secure_aggregation": {"protocol": "none"}},
    ],
)
def test_a_server_is_trusted_with_exact_sums_by_name_only(tree: dict[str, dict[str, Any]]) -> None:
    """What devices cannot share is refused where there are devices, unless the settings name the server."""
    tree = {**tree, "privacy": {"epsilon": 8.0, **tree.get("privacy", {})}}
    with pytest.raises(ConfigError, match="noise_place=server"):
        with_protocol(from_tree(tree), "flower")
    assert with_protocol(from_tree(tree), "cohort").privacy.noise_place == "server"
    named = {**tree, "privacy": {**tree["privacy"], "noise_place": "server"}}
    assert with_protocol(from_tree(named), "flower").privacy.noise_place == "server"


@pytest.mark.parametrize(
    "tree",
    [
        {"minimum_cohort": 5, "minimum_survivors": 6},
        {"neighbours": 10},
        {"neighbours": 10, "threshold": 11},
        {"corrupt": 0.5, "dropout": 0.5},
    ],
)
def test_floors_that_contradict_each_other_are_refused(tree: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        from_tree({"secure_aggregation": tree})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"collaborative": {"popularity_buckets": 15}}, "0 or at least 16"),
        ({"collaborative": {"popularity_buckets": 64}, "privacy": {"unit": "example"}}, "protects users"),
        (
            {"collaborative": {"popularity_buckets": 64}, "privacy": {"epsilon": 1.0}, "audit": {"canaries": 100}},
            "canaries look for counts",
        ),
    ],
)
def test_buckets_are_for_users_and_not_too_few(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_tree(settings)
