"""No history, centre or weights lead a row of power iteration beyond its bound: a search for one that does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.queries.device import power_iteration
from fedrec.queries.device.power_iteration import projected
from fedrec.users import Histories, UserBatch

ITEMS, BOUND = 12, 1.0
Floats = np.ndarray
Left = Callable[..., Floats]


def norm_of(items: list[int], centre: Floats, vectors: Floats, weights: Floats | None) -> float:
    return float(np.linalg.norm(projected(UserBatch(Histories.of([items])), centre, vectors, BOUND, weights)))


def near(items: list[int], length: float, off: float, seed: int) -> Floats:
    """A centre of about that length, as far from the history of these items as ``off`` says."""
    centre = np.zeros(ITEMS)
    centre[items] = len(items) ** -0.5
    return length * centre + off * np.random.default_rng(seed).normal(size=ITEMS)


def directions(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(ITEMS, 3))


def worst(tries: int) -> float:
    """The largest norm that hill climbing finds, from centres at many distances from the history."""
    drawn, found = np.random.default_rng(1), 0.0
    for start in range(tries):
        items = sorted(drawn.choice(ITEMS, size=int(drawn.integers(1, ITEMS + 1)), replace=False).tolist())
        centre = near(items, 1.0, 10.0 ** drawn.uniform(-9, -2), start)
        weights = 10.0 ** drawn.uniform(-3, 2, ITEMS) if start % 2 else None
        best = norm_of(items, centre, directions(start), weights)
        for _ in range(30):
            step = centre + 10.0 ** drawn.uniform(-12, -3) * drawn.normal(size=ITEMS)
            reached = norm_of(items, step, directions(start), weights)
            if reached > best:
                best, centre = reached, step
        found = max(found, best)
    return found


def test_hill_climbing_finds_no_row_beyond_the_bound() -> None:
    found = worst(150)
    assert found <= BOUND + 1e-9
    assert found > 0.99


def test_it_finds_one_where_the_length_is_multiplied_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelling(used: object, owners: Floats, along: Floats, centre: Floats, scale: Floats) -> Floats:
        rows = used.toarray()  # type: ignore[attr-defined]
        own, meets = (rows**2) @ scale**2, rows @ (scale**2 * centre)
        return np.sqrt(np.maximum(own - 2 * along * meets + along**2 * ((scale * centre) @ (scale * centre)), 0.0))

    monkeypatch.setattr(power_iteration, "_left", cancelling)
    monkeypatch.setattr(power_iteration, "_NEAREST", 1e-6)
    assert worst(150) > BOUND + 1e-5


@given(
    st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=ITEMS * 2),
    st.floats(-3, 3),
    st.floats(-12, 1),
    st.one_of(st.none(), st.floats(-30, 2)),
    st.integers(0, 1000),
)
def test_any_history_centre_and_weights_stay_within_the_bound(
    items: list[int], length: float, off: float, weight: float | None, seed: int
) -> None:
    """Items that come twice, centres of any length near the history and far from it, weights from tiny to the most."""
    centre = near(sorted(set(items)), 10.0**length, 10.0**off, seed)
    drawn = np.random.default_rng(seed)
    weights = None if weight is None else 10.0 ** drawn.uniform(weight, 2, ITEMS)
    assert norm_of(items, centre, directions(seed), weights) <= BOUND + 1e-9


@pytest.mark.parametrize("length", [0.0, 1e-300, 1.0, 1e4, 1e150, 1e300])
def test_centres_of_absurd_length_give_a_row_within_the_bound(length: float) -> None:
    with np.errstate(all="ignore"):
        for items in ([0], [1, 2, 3], list(range(ITEMS))):
            assert norm_of(items, near(items, length, 0.1 * length, 3), directions(3), None) <= BOUND + 1e-9
