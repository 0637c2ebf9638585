"""Histories that are cut when a run is measured: what is cut, what is not, and what run.json says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.errors import ConfigError
from fedrec.simulation.newcomers import at_most
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.users import Histories

SETTINGS: dict[str, Any] = {
    "content": {"modalities": ["text", "image"], "text": {"dimension": 16}},
    "model": {"tower": False},
    "collaborative": {"scoring": {"weight": 1.0, "evidence": True}},
    "evaluation": {"every": 0, "history_at_most": [0, 2]},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("newcomers") / "shop"
    write_shop(directory, users=80, items=140, seed=4)
    return directory


@pytest.fixture(scope="module")
def record(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("run") / "out"
    simulate(from_tree(SETTINGS), shop, out, reporter=SilentReporter())
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


@given(st.lists(st.lists(st.integers(0, 50), max_size=9), min_size=1, max_size=5), st.integers(0, 10))
def test_the_last_events_are_kept(lists: list[list[int]], events: int) -> None:
    cut = at_most(Histories.of(lists), events)
    kept = [cut.items[a:b].tolist() for a, b in zip(cut.indptr[:-1], cut.indptr[1:], strict=True)]
    assert kept == [one[max(len(one) - events, 0) :] for one in lists]


def test_whole_histories_are_what_the_run_says_everywhere(record: dict[str, Any]) -> None:
    quality = record["quality"]
    assert set(quality["history-at-most"]) == {"0", "2", "all"}
    for protocol in ("loo-99neg", "loo-full"):
        assert quality["history-at-most"]["all"][protocol] == quality[protocol]


def test_without_events_and_notes_popularity_ranks(record: dict[str, Any]) -> None:
    bare = record["quality"]["history-at-most"]["0"]["without-own-content"]["loo-99neg"]
    assert bare["hr@10"] == pytest.approx(record["baselines"]["popularity"]["hr@10"], abs=0.03)
    assert bare["users"] == record["quality"]["loo-99neg"]["users"]


def test_notes_and_photos_help_whoever_is_new(record: dict[str, Any]) -> None:
    cut = record["quality"]["history-at-most"]
    for name, more in (("0", 0.1), ("2", 0.05), ("all", 0.0)):
        assert cut[name]["loo-99neg"]["auc"] >= cut[name]["without-own-content"]["loo-99neg"]["auc"] + more


def test_what_is_not_asked_for_is_null(shop: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "evaluation": {"every": 0}, "collaborative": {"scoring": {"weight": 1.0}}}
    simulate(from_tree(settings), shop, tmp_path / "out", reporter=SilentReporter())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["quality"]["history-at-most"] is None


def test_without_notes_and_photos_there_is_nothing_to_leave_out(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", users=40, items=140, seed=1, private_users=0)
    plain: dict[str, Any] = {**SETTINGS, "content": {"modalities": ["attributes"]}}
    simulate(from_tree(plain), tmp_path / "shop", tmp_path / "out", reporter=SilentReporter())
    cut = json.loads((tmp_path / "out" / "run.json").read_text())["quality"]["history-at-most"]
    assert cut["0"]["without-own-content"] is None and np.isfinite(cut["0"]["loo-99neg"]["hr@10"])


@pytest.mark.parametrize("wrong", [[-1], [1.5], "few", list(range(17))])
def test_lengths_are_whole_numbers(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="history_at_most"):
        from_tree({"evaluation": {"history_at_most": wrong}})
    assert Config().evaluation.history_at_most == ()
