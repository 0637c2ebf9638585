"""Our scorers hold the contract of scorers, and the contract finds what breaks it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ranking_cases import ITEMS, scorer, table

from fedrec.errors import ModelError
from fedrec.testing import scoring as contract
from fedrec.users import Histories

HISTORIES = Histories.of([[0, 3, 5], [], [1, 2, 3, 4, 5, 6, 7, 8], [9, 9]])


@pytest.mark.parametrize(
    ("tower", "collaborative", "weight", "popularity"),
    [(True, True, 0.4, 0.2), (True, False, 0.0, 0.0), (False, True, 1.0, 0.0), (False, False, 0.5, 1.0)],
)
def test_our_scorers_hold_the_contract(tower: bool, collaborative: bool, weight: float, popularity: float) -> None:
    ours = scorer(tower=tower, collaborative=table() if collaborative else None, weight=weight, popularity=popularity)
    contract.check_scoring(ours.scores, ITEMS, np.random.default_rng(0))


BROKEN: dict[str, Any] = {
    r"\[users, items\]": lambda h: np.zeros((len(h), ITEMS + 1), np.float32),
    "float32": lambda h: np.zeros((len(h), ITEMS)),
    "finite": lambda h: np.full((len(h), ITEMS), np.nan, np.float32),
    "same users": lambda h: np.random.default_rng().normal(size=(len(h), ITEMS)).astype(np.float32),
    "order of users": lambda h: np.tile(np.arange(len(h), dtype=np.float32)[:, None], (1, ITEMS)),
    "other users": lambda h: np.full((len(h), ITEMS), len(h), np.float32),
    "no users": lambda h: np.zeros((len(h), ITEMS) if len(h) else (1, 1), np.float32),
    "long history": lambda h: np.full((len(h), ITEMS), np.nan if h.lengths.max(initial=0) > ITEMS else 0, np.float32),
    "refused": lambda h: np.zeros((len(h), ITEMS), np.float32),
}


@pytest.mark.parametrize("promise", BROKEN)
def test_the_contract_finds_what_breaks_it(promise: str) -> None:
    with pytest.raises(ModelError, match=promise):
        contract.check_scoring(BROKEN[promise], ITEMS, np.random.default_rng(0))


def test_the_contract_finds_a_scorer_that_writes_to_its_input() -> None:
    def writing(histories: Histories) -> NDArray[np.float32]:
        histories.items[:] = 0
        return np.zeros((len(histories), ITEMS), np.float32)

    with pytest.raises(ModelError, match="write"):
        contract.check_scoring(writing, ITEMS, np.random.default_rng(0))
