"""The whole path through the command line, on data whose right answer is known beforehand.

Three tastes share no item, so a user's known items have been used together with the items of the own taste and with no
other: the exact co-occurrence of two tastes is zero. Of the own taste each user lacks one item. So with all weight on
behaviour that item alone has a score above zero, and no other recommendation is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from data_cases import SMALL, TASTES, fedrec_run, item, refused, told, user, write_tastes

import fedrec.cli.main
from fedrec.privacy.ledger import Ledger

pytestmark = pytest.mark.slow

PEOPLE = 20
KEYS: dict[str, set[str]] = {
    "config": {"run", "content", "model", "collaborative", "training", "privacy", "secure_aggregation", "evaluation"},
    "data": {"name", "users", "items", "interactions"},
    "model": {"preset", "modalities", "parameters_shared", "parameters_private"},
    "quality": {"loo-99neg", "loo-full", "coverage@10", "diversity@10"},
    "privacy": {
        "unit", "delta", "epsilon_released", "epsilon_server", "accountant", "mechanism", "sampling",
        "noise_multiplier",
    },
    "secure_aggregation": {"protocol", "cohort", "survivors", "bytes_up_per_device_round"},
    "cost": {"rounds", "seconds", "rows_per_second", "peak_rss_mb"},
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """The data, the devices, and what ``fedrec simulate`` left."""

    data: Path
    stores: list[Path]
    out: Path
    run: dict[str, Any]

    @property
    def people(self) -> list[tuple[Path, str, str]]:
        """Store, user, and the one right recommendation, of everybody."""
        places = [(taste, place) for taste in TASTES for place in range(PEOPLE)]
        return [
            (store, user(taste, place), item(taste, place))
            for store, (taste, place) in zip(self.stores, places, strict=True)
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("end to end")
        patch.setenv("FEDREC_CACHE", str(directory / "cache"))
        patch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
        data = write_tastes(directory / "tastes", PEOPLE)
        facts = told("data", "stores", data, "--out", directory / "stores")
        config = directory / "run.toml"
        config.write_text(SMALL)
        out = directory / "runs" / "first"
        settings = ("run.engine=grid", "collaborative.scoring.weight=1", "evaluation.private_metrics=true")
        words = [word for setting in settings for word in ("--set", setting)]
        run = told("simulate", config, "--data", data, "--out", out, *words)
        assert facts["stores"] == 3 * PEOPLE
        yield World(data, sorted((directory / "stores").glob("*.sqlite")), out, run)


def test_every_device_finds_the_one_right_item(world: World) -> None:
    for store, who, right in world.people:
        found = told("recommend", world.out / "model", "--store", store, "--user", who, "--top", 1)
        assert found["user"] == who
        assert [(one["rank"], one["item"]) for one in found["recommendations"]] == [(1, right)]
        assert found["recommendations"][0]["shares"]["behaviour"] == pytest.approx(1.0)


def test_what_is_measured_is_the_same_right_answer(world: World) -> None:
    """The test item of each user is the one that the user lacks, against all items of other tastes or the rest."""
    for protocol in ("loo-99neg", "loo-full"):
        assert world.run["quality"][protocol]["hr@10"] == world.run["quality"][protocol]["ndcg@10"] == 1.0
    assert world.run["quality"]["loo-99neg"]["users"] == 3 * PEOPLE
    # Devices measure their validation item, and nobody has one here: asked, answered, and nothing invented.
    assert world.run["queries"] == {"metrics": {"hr@10": None, "ndcg@10": None}}


def test_a_run_leaves_what_the_design_names(world: World) -> None:
    assert json.loads((world.out / "run.json").read_text()) == world.run
    assert world.run["schema"] == 1
    for section, keys in KEYS.items():
        assert keys <= world.run[section].keys(), section
    counted = [world.run["data"][name] for name in ("name", "users", "items", "interactions", "skipped")]
    assert counted == ["tastes", 3 * PEOPLE, 3 * PEOPLE, 3 * PEOPLE * (PEOPLE - 1), 0]
    assert world.run["privacy"]["epsilon_released"] is world.run["privacy"]["epsilon_server"] is None
    lines = (world.out / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["query"] for line in lines] == ["popularity", "cooccurrence", *["training"] * 2, "metrics"]
    assert "<html" in (world.out / "report.html").read_text()


def test_a_release_of_another_signer_is_refused(world: World) -> None:
    told("release", "key", world.out.parent / "mine.key")
    store, who, _ = world.people[0]
    words = ("recommend", world.out / "model", "--store", store, "--user", who)
    shown = refused(9, *words, "--key", world.out.parent / "mine.key.pub")
    assert "key" in shown
    assert fedrec_run(*words).exit_code == 0


def test_the_same_path_under_a_budget_spends_what_was_planned(world: World) -> None:
    out = world.out.parent / "private"
    words = ("simulate", world.out.parents[1] / "run.toml", "--data", world.data, "--out", out)
    shares = '{"popularity": 0.1, "cooccurrence": 0.5, "training": 0.4}'
    run = told(*words, "--set", "privacy.epsilon=8", "--set", f"privacy.shares={shares}")
    assert run["stopped"] is None
    assert 7.9 < run["privacy"]["epsilon_released"] <= 8
    assert run["privacy"]["epsilon_server"] is None
    assert (run["privacy"]["unit"], run["privacy"]["delta"]) == ("user", pytest.approx(60**-1.1))
    with Ledger.open(out / "ledger.sqlite") as ledger:
        ledger.verify()
        rows = ledger.entries()
        assert [(row.query, row.round) for row in rows] == [
            ("popularity", 0), ("cooccurrence", 0), ("training", 1), ("training", 2),
        ]  # fmt: skip
        assert ledger.spent() == pytest.approx(run["privacy"]["epsilon_released"])
    store, who, _ = world.people[0]
    found = told("recommend", out / "model", "--store", store, "--user", who, "--top", "3")
    assert len(found["recommendations"]) == 3


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (("privacy.epsilon=1e-10", "privacy.delta=1e-12"), 6, ("noise multiplier must be", "a run without noise")),
        (("privacy.epsilon=0",), 2, ("privacy.epsilon", "greater than 0")),
        (("privacy.epsilom=8",), 2, ("privacy.epsilom", "unknown key")),
        (("privcy.epsilon=8",), 2, ("privcy", "unknown key", "secure_aggregation")),
        (("privacy",), 2, ("section.key=value",)),
    ],
)
def test_what_cannot_be_kept_is_said_before_any_device_is_asked(
    world: World, tmp_path: Path, settings: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    config = world.out.parents[1] / "run.toml"
    chosen = [word for setting in settings for word in ("--set", setting)]
    shown = refused(code, "simulate", config, "--data", world.data, "--out", out, *chosen)
    for word in words:
        assert word in shown
    assert not (out / "run.json").exists()
    assert not (out / "events.jsonl").exists()
