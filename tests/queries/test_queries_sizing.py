"""Sizes that follow from the noise: monotone, within bounds, settled once, and the same on both sides."""

from __future__ import annotations

import json
import math
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.config import Config, from_tree, with_overrides
from fedrec.config.presets import with_preset
from fedrec.config.sized import SIZED
from fedrec.errors import ConfigError
from fedrec.queries.plan import costs_of
from fedrec.queries.schedule import asked_by
from fedrec.queries.sizing import (
    LEAST_PLACED,
    LEAST_RANK,
    MOST_PAIRWISE_ITEMS,
    MOST_PLACED,
    MOST_RANK,
    sized_by_noise,
    sizing_of,
)


def auto(**tree: object) -> Config:
    return with_preset(from_tree({"model": {"preset": "auto"}, **tree}))


@given(st.integers(2, 10**7), st.integers(3, 10**6), st.floats(1e-2, 1e3))
def test_sizes_are_within_bounds_and_shares_sum_to_one(users: int, items: int, noise: float) -> None:
    found = sizing_of(users, items, noise)
    assert 2 <= found.rank <= min(MOST_RANK, max(2, items - 1))
    assert found.rank >= min(LEAST_RANK, items - 1)
    assert 2 <= found.pairwise <= min(items, MOST_PAIRWISE_ITEMS)
    parts = [found.shares[name] for name in ("popularity", "factors", "directions") if name in found.shares]
    assert math.fsum(parts) == pytest.approx(1.0)
    assert all(0.05 < part < 0.96 for part in parts)
    assert ("directions" in found.shares) == (found.steps > 0)


@given(st.integers(2, 10**6), st.integers(3, 10**5), st.floats(0.05, 100.0))
def test_less_noise_never_asks_for_less(users: int, items: int, noise: float) -> None:
    loud, quiet = sizing_of(users, items, noise), sizing_of(users, items, noise / 2)
    assert quiet.rank >= loud.rank
    assert quiet.steps >= loud.steps
    assert quiet.pairwise >= loud.pairwise
    assert quiet.shares["popularity"] <= loud.shares["popularity"]


def test_more_users_are_placed_among_more_factors_and_held_back_less() -> None:
    settled = [sized_by_noise(auto(), users, 500).collaborative.fold_in for users in (10, 1_500, 6_000, 10**6)]
    ranks, ridges = zip(*((one.rank, one.ridge) for one in settled if one), strict=True)
    assert ranks == (LEAST_PLACED, 97, 194, MOST_PLACED)
    assert sorted(ridges, reverse=True) == list(ridges)
    assert [rank * ridge for rank, ridge in zip(ranks, ridges, strict=True)] == pytest.approx(
        [96 * 0.012] * 4, rel=1e-3
    )


def test_without_a_fold_in_there_is_none_to_size() -> None:
    assert sized_by_noise(auto(collaborative={"fold_in": None}), 900, 500).collaborative.fold_in is None


@pytest.mark.parametrize("epsilon", [None, 1.0, 8.0])
@pytest.mark.parametrize("unit", ["user", "example"])
def test_settled_once_it_is_settled_for_good_and_can_be_planned(epsilon: float | None, unit: str) -> None:
    config = auto(privacy={"epsilon": epsilon, "unit": unit, "delta": 1e-5})
    settled = sized_by_noise(config, 900, 500)
    assert sized_by_noise(settled, 17, 90_000) is settled
    assert from_tree(settled.model_dump()) == settled
    names = {query.name for query in asked_by(settled)}
    assert ("factors" in names) == (epsilon is not None and unit == "user")
    assert ("selection" in names) == (unit == "user")
    if epsilon is not None:
        assert {cost.query for cost in costs_of(settled, 900)} == names
        assert settled.privacy.shares.get("selection", 0.05) == pytest.approx(0.05)


def test_without_noise_a_catalogue_too_large_for_a_square_is_asked_by_power_iteration() -> None:
    assert sized_by_noise(auto(), 10_000, MOST_PAIRWISE_ITEMS).collaborative.cooccurrence.enabled
    assert sized_by_noise(auto(), 10_000, MOST_PAIRWISE_ITEMS + 1).collaborative.power_iteration.enabled


def test_content_that_is_not_there_leaves_co_occurrence_of_as_many_items_as_can_be_heard() -> None:
    config = auto(privacy={"epsilon": 1.0}, collaborative={"prior": {"weight": 0.0, "modalities": {}}})
    few, many = (sized_by_noise(config, users, 5_000).collaborative.cooccurrence.items for users in (300, 3_000))
    assert 2 <= few < many <= 5_000


def test_candidates_that_are_written_are_kept_and_others_follow_from_the_settings() -> None:
    own = {"candidates": {"a": {}, "b": {"scoring": {"discount": 0.5}}}, "default": "a"}
    assert set(sized_by_noise(auto(collaborative={"selection": own}), 90, 50).collaborative.selection.candidates) == {
        "a",
        "b",
    }
    made = sized_by_noise(auto(), 90, 50).collaborative
    assert made.selection.combine
    assert made.candidate("popularity").scoring.popularity_weight == 1.0


WRITTEN = {
    "collaborative.power_iteration.rank": 17,
    "collaborative.power_iteration.steps": 3,
    "collaborative.prior.weight": 0.75,
    "collaborative.prior.leading": 0.25,
    "collaborative.solver.ridge": 11.0,
    "collaborative.fold_in.rank": 33,
    "collaborative.fold_in.ridge": 0.5,
    "collaborative.short_history_weighting": 7,
    "collaborative.cooccurrence.items": 30,
    "collaborative.cooccurrence.normalise": 1.0,
    "model.notes": False,
    "model.photos": False,
}


@pytest.mark.parametrize("epsilon", [None, 1.0, 8.0])
@pytest.mark.parametrize("key", WRITTEN)
def test_what_is_written_stays_and_the_rest_follows(key: str, epsilon: float | None) -> None:
    tree = {"model": {"preset": "auto"}, "privacy": {"epsilon": epsilon}}
    written = with_preset(from_tree(with_overrides(tree, [f"{key}={json.dumps(WRITTEN[key])}"])))
    assert written.collaborative.as_written == (key,)
    assert with_preset(written) == written == with_preset(from_tree(written.model_dump(mode="json")))
    settled, plain = (
        sized_by_noise(one, 900, 500).model_dump() for one in (written, auto(privacy={"epsilon": epsilon}))
    )
    asked = epsilon is not None or not key.startswith("collaborative.power_iteration.steps")
    assert at(settled, key) == (WRITTEN[key] if asked else 0)
    for other in sorted(SIZED - {key}):
        assert at(settled, other) == at(plain, other), other


def at(tree: dict[str, Any], key: str) -> Any:
    return reduce(lambda found, name: found[name], key.split("."), tree)


def test_the_method_that_is_written_is_asked() -> None:
    prior = {"modalities": {"text": 1.0}}
    power_iteration = {"enabled": True, "steps": 1}
    collaborative = {"cooccurrence": {"enabled": False}, "power_iteration": power_iteration, "prior": prior}
    power = sized_by_noise(auto(collaborative=collaborative), 900, 500).collaborative
    assert power.power_iteration.enabled and power.power_iteration.steps == 1
    assert not power.cooccurrence.enabled and power.prior.weight == auto().collaborative.prior.weight
    whole = auto(privacy={"epsilon": 2.0}, collaborative={"cooccurrence": {"enabled": True}})
    assert {query.name for query in asked_by(sized_by_noise(whole, 900, 500))} >= {"cooccurrence"}


@given(st.dictionaries(st.sampled_from(["popularity", "directions", "factors", "selection"]), st.floats(0.01, 0.24)))
def test_a_share_that_is_written_stays_and_others_split_what_is_left(written: dict[str, float]) -> None:
    privacy = {"epsilon": 8.0, "shares": written}
    shares = sized_by_noise(auto(privacy=privacy), 6_000, 500).privacy.shares
    follows = sized_by_noise(auto(privacy={"epsilon": 8.0}), 6_000, 500).privacy.shares
    assert shares.keys() == follows.keys()
    assert {name: shares[name] for name in written} == written
    others = [name for name in ("popularity", "directions", "factors") if name not in written]
    for name in others:
        assert shares[name] / shares[others[0]] == pytest.approx(follows[name] / follows[others[0]])
    assert not others or math.fsum(shares.values()) == pytest.approx(1.0)


def test_shares_that_leave_nothing_for_other_sums_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"leaves nothing.*directions"):
        sized_by_noise(auto(privacy={"epsilon": 8.0, "shares": {"popularity": 0.5, "factors": 0.5}}), 6_000, 500)


def test_steps_of_what_nobody_asks_are_refused_beside_other_presets() -> None:
    with pytest.raises(ConfigError, match="rounds before those"):
        with_preset(from_tree({"model": {"preset": "ease"}, "collaborative": {"power_iteration": {"steps": 1}}}))


def test_only_what_follows_can_be_named_as_written() -> None:
    with pytest.raises(ConfigError, match=r"as_written.*run\.seed"):
        auto(collaborative={"as_written": ["run.seed"]})


def test_settings_that_were_not_settled_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match="follows_noise"):
        costs_of(auto(privacy={"epsilon": 1.0}), 900)
