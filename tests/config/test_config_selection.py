"""What candidates of a selection may change, and what a choice makes of the settings."""

from __future__ import annotations

from typing import Any

import pytest

from fedrec.config import Config, from_tree, load
from fedrec.config.selection import MOST_CANDIDATES
from fedrec.errors import ConfigError

TWO: dict[str, Any] = {"plain": {}, "other": {"solver": {"ridge": 3.0}}}


def _config(candidates: dict[str, Any], default: str = "plain", **collaborative: Any) -> Config:
    selection = {"candidates": candidates, "default": default}
    return from_tree({"collaborative": {**collaborative, "selection": selection}})


def test_nothing_is_chosen_by_default() -> None:
    config = Config()
    assert not config.collaborative.selection.asked
    assert config.by_default is config


def test_a_choice_changes_what_the_candidate_says_and_nothing_else() -> None:
    config = _config(TWO, solver={"method": "cosine", "ridge": 7.0})
    chosen = config.choosing("other")
    assert chosen.collaborative.solver.ridge == 3.0
    assert chosen.collaborative.solver.method == "cosine"
    assert not chosen.collaborative.selection.asked
    assert config.by_default.collaborative.solver.ridge == 7.0
    assert chosen.privacy == config.privacy


def test_fold_in_can_be_taken_away_and_brought() -> None:
    config = _config({"plain": {}, "none": {"fold_in": False}, "other": {"fold_in": {"rank": 3}}}, fold_in={"rank": 9})
    assert config.choosing("none").collaborative.fold_in is None
    found = config.choosing("other").collaborative.fold_in
    assert found is not None and found.rank == 3
    brought = _config({"plain": {}, "other": {"fold_in": {"rank": 3}}}).choosing("other").collaborative.fold_in
    assert brought is not None and brought.rank == 3


def test_a_prior_without_modalities_gets_no_weight() -> None:
    config = _config({"plain": {}, "heavy": {"prior": {"weight": 3.0}}})
    assert config.choosing("heavy").collaborative.prior.weight == 0.0


@pytest.mark.parametrize(
    ("candidates", "default", "said"),
    [
        ({"plain": {}}, "plain", "two candidates"),
        (TWO, "", "must be one of"),
        (TWO, "third", "must be one of"),
        ({}, "plain", "there are no"),
        ({**TWO, "asks": {"power_iteration": {"rank": 3}}}, "plain", "power_iteration.rank"),
        ({**TWO, "asks": {"prior": {"modalities": {}}}}, "plain", "prior.modalities"),
        ({**TWO, "asks": {"popularity": False}}, "plain", "popularity"),
        ({**TWO, "asks": {"solver": 3}}, "plain", "solver"),
        ({**TWO, "wrong": {"solver": {"ridge": -1.0}}}, "plain", "solver.ridge"),
        ({**TWO, "wrong": {"scoring": {"weigth": 1.0}}}, "plain", "scoring.weigth"),
        ({str(number): {} for number in range(MOST_CANDIDATES + 1)}, "1", "at most 64"),
    ],
)
def test_what_is_no_selection_is_refused(candidates: dict[str, Any], default: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _config(candidates, default)


def test_a_prior_of_the_tower_leaves_nothing_to_choose() -> None:
    with pytest.raises(ConfigError, match="tower"):
        _config(TWO, prior={"weight": 1.0, "modalities": {"tower": 1.0}})


def test_candidates_are_written_in_toml(tmp_path: Any) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        '[collaborative.selection]\ndefault = "plain"\n[collaborative.selection.candidates]\nplain = {}\n'
        "bare = { fold_in = false, scoring = { discount = 0.2 } }\n",
        encoding="utf-8",
    )
    config = load(path)
    assert config.choosing("bare").collaborative.scoring.discount == 0.2
    assert from_tree(config.model_dump(mode="json")) == config
