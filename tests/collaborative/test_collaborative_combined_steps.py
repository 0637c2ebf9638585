"""All steps of power iteration as one: what it says, how large its noise is, and that it is nearer to the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.collaborative.combined_steps import StepSum, combined_steps
from fedrec.collaborative.power_iteration import Expected, ProjectionDirections, completed

ITEMS = 400


def cooccurrence(drawn: np.random.Generator, rank: int = 20) -> np.ndarray:
    table = drawn.normal(size=(ITEMS, rank)) * np.linspace(4, 1, rank)
    return table @ table.T


def step(
    drawn: np.random.Generator,
    truth: np.ndarray,
    columns: int,
    sigma: float,
    *,
    scale: float = 1.0,
    weighted: bool = False,
) -> StepSum:
    """Directions at random, and what is told of them: ``scale`` times the truth, weighted by item, with noise."""
    weights = np.linspace(0.5, 2, ITEMS) if weighted else None
    asked = ProjectionDirections(np.zeros(ITEMS), np.linalg.qr(drawn.normal(size=(ITEMS, columns)))[0], weights)
    told = scale * truth @ asked.vectors * (1.0 if weights is None else weights[:, None])
    return StepSum(asked, told + drawn.normal(size=told.shape) * sigma, sigma)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(1, 12), min_size=1, max_size=4), st.booleans())
def test_without_noise_to_speak_of_it_is_what_a_step_with_these_directions_would_tell(
    seed: int, columns: list[int], weighted: bool
) -> None:
    drawn = np.random.default_rng(seed)
    truth = cooccurrence(drawn)
    steps = [step(drawn, truth, width, 1e-9, weighted=weighted) for width in columns]
    found = combined_steps(steps)
    expected = truth @ found.asked.vectors
    if weighted:
        expected *= np.linspace(0.5, 2, ITEMS)[:, None]
    assert found.opened.shape[1] <= 2 * columns[-1]
    np.testing.assert_allclose(found.opened, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("factor", [1.0, 2 / 3, 3 / 2])
def test_its_noise_is_of_deviation_one_in_each_entry(factor: float) -> None:
    drawn = np.random.default_rng(5)
    truth = cooccurrence(drawn)
    steps = [step(drawn, truth, 12, sigma * factor) for sigma in (3.0, 1.0, 2.0)]
    # What the steps really have is `factor` times what they say.
    found = combined_steps([replace(one, sigma=one.sigma / factor) for one in steps])
    noise = found.opened - truth @ found.asked.vectors
    fits = abs(float(noise.std()) - 1) < 0.05
    assert fits == (factor == 1.0)
    if fits:
        together = np.corrcoef(noise.T)
        assert np.abs(together - np.eye(len(together))).max() < 0.25


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_steps_of_another_scale_are_brought_to_that_of_the_last(scale: float) -> None:
    drawn = np.random.default_rng(7)
    truth = cooccurrence(drawn)
    found = combined_steps([step(drawn, truth, 12, 0.5, scale=scale), step(drawn, truth, 12, 0.5)])
    told = truth @ found.asked.vectors
    assert float((found.opened * told).sum() / (told**2).sum()) == pytest.approx(1.0, abs=0.01)


def test_where_noise_hides_the_scales_none_is_made_up() -> None:
    drawn = np.random.default_rng(9)
    steps = [step(drawn, np.zeros((ITEMS, ITEMS)), 8, 1.0) for _ in range(2)]
    found = combined_steps(steps)
    lengths = np.linalg.norm(found.asked.vectors, axis=0)
    assert ((lengths > 0.1) & (lengths < 10)).all()


def test_the_estimate_of_all_steps_is_nearer_to_the_truth_than_that_of_the_last() -> None:
    drawn = np.random.default_rng(11)
    truth = cooccurrence(drawn, rank=10)
    expected = Expected(np.ones(ITEMS), np.zeros(ITEMS), np.zeros((ITEMS, 1)))

    def off(one: StepSum) -> float:
        factors = completed(one.opened, one.asked, expected, one.sigma).factors
        return float(np.linalg.norm(factors @ factors.T - truth))

    steps = [step(drawn, truth, 16, 6.0) for _ in range(3)]
    assert off(combined_steps(steps)) < 0.75 * off(steps[-1])
    # It is no better than the last alone where the others are of no use.
    useless = [replace(one, sigma=1e6) for one in steps[:-1]]
    assert off(combined_steps([*useless, steps[-1]])) == pytest.approx(off(steps[-1]), rel=0.05)
