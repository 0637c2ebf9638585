"""A server whose centre lies near a history, so that rounding decides how long what is left of it is told to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.queries.device import power_iteration
from fedrec.users import Histories, UserBatch, keys_of

ITEMS, DRAWS = 30, 3000


def longest(draws: int) -> float:
    """The longest row that a search over centres, directions and weights finds; the bound is 1."""
    rng, found = np.random.default_rng(7), 0.0
    for _ in range(draws):
        items = rng.permutation(ITEMS)[: rng.integers(1, 8)]
        own, away = np.zeros(ITEMS), 10.0 ** rng.uniform(-9, 0)
        own[items] = 1 / np.sqrt(len(items))
        centre = [
            own + away * rng.normal(size=ITEMS),
            own * (1 + away),
            own + away * rng.normal(size=ITEMS) * (own > 0),
            rng.normal(size=ITEMS) * 10.0 ** rng.uniform(-6, 6),
        ][int(rng.integers(4))]
        if rng.random() < 0.5:
            centre = centre / np.linalg.norm(centre)
        vectors = rng.normal(size=(ITEMS, 3)) * 10.0 ** rng.uniform(-6, 6)
        weights = None if rng.random() < 0.5 else 10.0 ** rng.uniform(-4, 2, size=ITEMS)
        user = UserBatch(Histories.of([items]), keys=keys_of(["ann"]))
        found = max(found, float(np.linalg.norm(power_iteration.projected(user, centre, vectors, 1.0, weights))))
    return found


def multiplied_out(used: Any, owners: Any, along: Any, centre: Any, scale: Any) -> NDArray[np.float64]:
    """What is left of a history as it was reckoned: a difference of two squares."""
    own = np.bincount(owners, weights=(scale[used.indices] * used.data) ** 2, minlength=len(along))
    both = np.bincount(
        owners, weights=scale[used.indices] ** 2 * used.data * centre[used.indices], minlength=len(along)
    )
    square = own - 2 * along * both + along**2 * float(((scale * centre) ** 2).sum())
    return np.sqrt(np.maximum(square, 0.0))


def test_no_row_of_factors_is_longer_than_the_bound() -> None:
    assert 0.9 < longest(DRAWS) <= 1 + 1e-9


def test_a_difference_of_squares_lets_a_row_be_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_iteration, "_left", multiplied_out)
    monkeypatch.setattr(power_iteration, "_NEAREST", 1e-9)
    assert longest(DRAWS) > 1.001
