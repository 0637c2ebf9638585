"""Gram matrices under many weights from one pass: those that one pass for each would give."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.collaborative.shared_grams import SharedGrams

WIDTH = 5


def world(seed: int, items: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table [items, w], with masses and noises that differ by as many orders of magnitude as said, each by itself."""
    drawn = np.random.default_rng(seed)
    mass, noise = (10 ** drawn.uniform(-spread, spread, items) for _ in range(2))
    return drawn.normal(size=(items, WIDTH)), mass, noise


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    items=st.integers(1, 60),
    spread=st.floats(0, 2),
    parts=st.lists(st.floats(-5, 5), min_size=1, max_size=4),
)
def test_one_pass_gives_what_a_pass_an_axis_does(seed: int, items: int, spread: float, parts: list[float]) -> None:
    table, mass, noise = world(seed, items, spread)
    own = 10 ** np.array(parts)
    found = SharedGrams(table, mass, noise).of(lambda ratio: 1 / (1 + own * ratio))
    for axis, part in enumerate(own):
        exact = table.T @ (table / (part * mass + noise)[:, None])
        # Positive weights that are each known to 1e-4 leave each entry known to 1e-4 of the largest.
        np.testing.assert_allclose(found[axis], exact, atol=1e-4 * np.abs(exact).max())
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))


def test_float32_tables_are_summed_in_float64() -> None:
    table, mass, noise = world(1, 20_000, 1.0)
    exact, rounded = (SharedGrams(one, mass, noise).of(lambda q: 1 / (1 + q)) for one in (table, np.float32(table)))
    assert rounded.dtype == np.float64
    np.testing.assert_allclose(rounded, exact, atol=1e-6 * np.abs(exact).max())


def test_one_item() -> None:
    table, mass, noise = world(2, 1, 1.0)
    found = SharedGrams(table, mass, noise).of(lambda q: 1 / (1 + q))
    np.testing.assert_allclose(found[0], table.T @ (table / (mass + noise)[:, None]), rtol=1e-4)


def test_what_is_beyond_all_proportion_changes_nothing_else() -> None:
    table, mass, noise = world(3, 30, 1.0)
    noise[0] = 1e30  # an entry that says nothing
    found = SharedGrams(table, mass, noise).of(lambda q: 1 / (1 + q))
    np.testing.assert_allclose(found[0], table[1:].T @ (table[1:] / (mass + noise)[1:, None]), rtol=1e-3)
