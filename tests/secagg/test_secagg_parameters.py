"""Neighbours and thresholds: the figures of the field, hand-computed chances, and what the calculator refuses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import ConfigError
from fedrec.secagg.parameters import Assumptions, GraphParameters, choose, guarantee, least_sum
from fedrec.secagg.thresholds import Thresholds


@pytest.mark.parametrize(
    ("size", "degree", "threshold"), [(100, 32, 17), (300, 42, 22), (1000, 52, 28), (10_000, 60, 32)]
)
def test_the_fields_figures_come_out(size: int, degree: int, threshold: int) -> None:
    """A tenth corrupt, a tenth gone, 2^-40.  At 100 the field says 16, half the neighbours: a device refuses that."""
    assert choose(size) == GraphParameters(degree, threshold)


def test_the_fields_sixteen_of_thirty_two_is_safe_against_a_curious_server_only() -> None:
    found = guarantee(100, 32, 16, Assumptions())
    assert found.shares >= 40 and found.connected >= 40 and found.correct >= 30
    assert found.two_lists == 0


def test_by_hand() -> None:
    # 9 others, 1 corrupt; 2 neighbours, both needed: two corrupt ones cannot be.
    found = guarantee(10, 2, 2, Assumptions(corrupt=0.1, dropout=0.1))
    assert found.shares == math.inf
    # Half a degree is one neighbour: 2 of 9 removed, ten devices: 10 * 2/9 > 1, so nothing is promised.
    assert found.connected == 0
    # One of nine is gone: chance 2/9 that it is one of two neighbours.
    assert found.correct == 0
    # 4 of 99 gone or corrupt at 100 devices and 4 neighbours: C(4,2)/C(99,2) * 100 = 600/4851.
    found = guarantee(100, 4, 3, Assumptions(corrupt=0.02, dropout=0.02))
    assert found.connected == pytest.approx(-math.log2(600 / 4851))
    # Two corrupt among 99, three needed: cannot be.  One of two on a half: 200 (1 - C(97,2)/C(99,2)).
    assert found.shares == math.inf
    colluding = guarantee(100, 4, 3, Assumptions(colluding=0.02)).two_lists
    assert colluding == max(0.0, -math.log2(200 * (1 - (97 * 96) / (99 * 98))))


def test_against_simulation() -> None:
    """Chances large enough to count: a ring of 30, a third corrupt, 6 neighbours, threshold 5."""
    draw, size, trials = np.random.default_rng(0), 30, 4000
    corrupt = np.array([draw.permutation(size) < 10 for _ in range(trials)])
    around = sum(np.roll(corrupt, step, axis=1) for step in (-3, -2, -1, 1, 2, 3))
    seen = (around >= 5).mean()
    expected = sum(math.comb(10, hits) * math.comb(19, 6 - hits) for hits in (5, 6)) / math.comb(29, 6)
    honest = ((around >= 5) & ~corrupt).sum() / (~corrupt).sum()
    assert honest == pytest.approx(expected, abs=4 * math.sqrt(expected / trials / 20) + 0.002)
    promised = 2 ** -guarantee(size, 6, 5, Assumptions(corrupt=1 / 3, dropout=0)).shares
    assert ((around >= 5) & ~corrupt).any(axis=1).mean() <= promised
    assert seen > 0


@settings(deadline=None, max_examples=60)
@given(size=st.integers(3, 400), corrupt=st.sampled_from([0.0, 0.05, 0.1]), dropout=st.sampled_from([0.0, 0.1, 0.2]))
def test_whatever_is_chosen_holds_and_passes_the_same_floors(size: int, corrupt: float, dropout: float) -> None:
    wanted = Assumptions(corrupt=corrupt, dropout=dropout)
    try:
        chosen = choose(size, wanted)
    except ConfigError:
        assert size < 20
        return
    assert guarantee(size, chosen.degree, chosen.threshold, wanted).holds(wanted)
    assert 2 * chosen.threshold > chosen.degree
    Thresholds(cohort=2, survivors=2, assumptions=wanted).check_cohort(size, chosen.degree, chosen.threshold)
    if size > 34 and chosen.threshold > chosen.degree // 2 + 1:
        assert not guarantee(size, chosen.degree, chosen.threshold - 1, wanted).holds(wanted)


@given(size=st.integers(40, 2000), colluding=st.sampled_from([0.0, 0.01, 0.05]))
@settings(deadline=None, max_examples=25)
def test_a_higher_threshold_never_weakens_privacy(size: int, colluding: float) -> None:
    wanted = Assumptions(colluding=colluding)
    found = [guarantee(size, 36, threshold, wanted) for threshold in range(1, 37)]
    for low, high in itertools.pairwise(found):
        assert high.shares >= low.shares and high.two_lists >= low.two_lists and high.correct <= low.correct


def test_more_must_be_paid_for_colluding_devices() -> None:
    assert choose(1000, Assumptions(colluding=0.02)).degree > choose(1000).degree
    assert guarantee(1000, 96, 63, Assumptions(colluding=0.02)).two_lists >= 40


@pytest.mark.parametrize("size", [0, 1, 2])
def test_no_parameters_for_nobody(size: int) -> None:
    with pytest.raises(ConfigError):
        choose(size)


def test_small_cohorts_know_everybody() -> None:
    assert choose(3) == GraphParameters(2, 2)
    assert [choose(size).degree for size in range(3, 34)] == list(range(2, 33))


def test_the_least_sum_grows_with_the_cohort() -> None:
    assert least_sum(1000, 52, 28) == 29 * 12
    assert least_sum(10, 9, 6, colluding=1) == 6


@pytest.mark.parametrize(
    "shares", [{"corrupt": 1.0}, {"corrupt": -0.1}, {"corrupt": 0.5, "dropout": 0.5}, {"security": 0.0}]
)
def test_absurd_assumptions(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Assumptions(**shares)


@pytest.mark.parametrize(
    "thresholds", [{"survivors": 1}, {"cohort": 3, "survivors": 4}, {"rounds_a_day": 0}, {"attempts": 0}]
)
def test_absurd_floors(thresholds: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Thresholds(**thresholds)  # type: ignore[arg-type]
