"""Neighbours and thresholds: the table of the documents, hand-computed chances, and what the calculator refuses."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import ConfigError
from fedrec.privacy.distributed import NoiseShares
from fedrec.secagg import parameters, tails
from fedrec.secagg.committee import CommitteeSize, committee_size
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.parameters import Assumptions, GraphParameters, choose, guarantee, half_floor
from fedrec.secagg.tails import MARGIN, log2_tail
from fedrec.secagg.thresholds import Thresholds


@pytest.mark.parametrize(
    ("size", "degree", "threshold", "members", "quorum"),
    [
        (100, 32, 17, 26, 16),
        (300, 54, 28, 53, 34),
        (1000, 64, 33, 69, 45),
        (2000, 68, 35, 75, 49),
        (10_000, 72, 37, 78, 51),
        (100_000, 82, 42, 78, 51),
    ],
)
def test_the_table_of_the_documents(size: int, degree: int, threshold: int, members: int, quorum: int) -> None:
    """A tenth corrupt, a tenth missing, a twentieth colluding, 2^-40."""
    wanted = Assumptions()
    assert choose(size) == GraphParameters(degree, threshold)
    assert committee_size(size, wanted) == CommitteeSize(members, quorum)
    assert guarantee(size, degree, threshold, wanted).holds(wanted)


@settings(max_examples=200, deadline=None)
@given(population=st.integers(1, 3000), data=st.data())
def test_tails_are_those_of_exact_arithmetic_and_never_below(population: int, data: st.DataObject) -> None:
    marked, drawn = (data.draw(st.integers(0, population)) for _ in range(2))
    least = data.draw(st.integers(0, min(marked, drawn) + 1))
    first, last = max(least, 0, drawn - (population - marked)), min(marked, drawn)
    ways = sum(math.comb(marked, k) * math.comb(population - marked, drawn - k) for k in range(first, last + 1))
    found = log2_tail(population, marked, drawn, least)
    if not ways:
        assert found == -math.inf
        return
    exact = math.log2(ways) - math.log2(math.comb(population, drawn))
    assert exact - 1e-9 <= found <= exact + 2 * MARGIN


def test_tails_of_the_largest_roster() -> None:
    """2^20 devices, against sums of logarithms in integers of any size."""
    population, marked, drawn, least = 1 << 20, 52429, 43, 18
    ways = sum(math.comb(marked, k) * math.comb(population - marked, drawn - k) for k in range(least, drawn + 1))
    exact = math.log2(ways) - math.log2(math.comb(population, drawn))
    assert exact <= log2_tail(population, marked, drawn, least) <= exact + 2 * MARGIN


def test_by_hand() -> None:
    # 9 others, 1 corrupt; 2 neighbours, both needed: two corrupt ones cannot be.
    found = guarantee(10, 2, 2, Assumptions(corrupt=0.1, dropout=0.1, colluding=0))
    assert found.shares == math.inf
    # Half a degree is one neighbour: 2 of 9 removed, ten devices: 10 * 2/9 > 1, so nothing is promised.
    assert found.connected == 0
    # One of nine is gone: chance 2/9 that it is one of two neighbours.
    assert found.correct == 0
    # 4 of 99 gone or corrupt at 100 devices and 4 neighbours: C(4,2)/C(99,2) * 100 = 600/4851.
    found = guarantee(100, 4, 3, Assumptions(corrupt=0.02, dropout=0.02, colluding=0))
    assert found.connected == pytest.approx(-math.log2(600 / 4851), abs=1e-4)
    # Two corrupt among 99, three needed: cannot be.
    assert found.shares == math.inf
    # 5 of 100 collude, 10 neighbours, so halves of 5, of whom 4 must be there for 20 bits: in one half 4 or 5 collude
    # with chance (5 * 95 + 1)/C(100,5), in two with at most its square, and there are fewer than 100^2/2 pairs.
    few = Assumptions(corrupt=0, dropout=0, colluding=0.05, security=20)
    assert half_floor(100, 10, few) == 4
    chance = (math.comb(5, 4) * 95 + 1) / math.comb(100, 5)
    assert guarantee(100, 10, 6, few).uncut == pytest.approx(-math.log2(100**2 / 2 * chance**2), abs=1e-3)


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
    thresholds = Thresholds(cohort=2, survivors=2, assumptions=wanted)
    thresholds.check_graph(size, chosen)
    assert thresholds.parameters(size) == chosen
    if size > 34 and chosen.threshold > chosen.degree // 2 + 1:
        assert not guarantee(size, chosen.degree, chosen.threshold - 1, wanted).holds(wanted)
    committee = committee_size(size, wanted)
    assert committee.quorum <= committee.members < 2 * committee.quorum


@given(size=st.integers(40, 2000), colluding=st.sampled_from([0.0, 0.01, 0.05]))
@settings(deadline=None, max_examples=25)
def test_a_higher_threshold_never_weakens_privacy(size: int, colluding: float) -> None:
    wanted = Assumptions(colluding=colluding)
    found = [guarantee(size, 36, threshold, wanted) for threshold in range(1, 37)]
    for low, high in itertools.pairwise(found):
        assert high.shares >= low.shares and high.uncut == low.uncut and high.correct <= low.correct


def test_more_must_be_paid_for_colluding_and_for_missing_devices() -> None:
    assert choose(1000, Assumptions(colluding=0.1)).degree > choose(1000).degree
    assert choose(1000, Assumptions(dropout=0.2)).degree > choose(1000).degree
    assert committee_size(1000, Assumptions(colluding=0.1)).members > committee_size(1000, Assumptions()).members


@pytest.mark.parametrize("size", [100, 2000, 100_000, 1 << 20])
@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.3, 0.49])
@pytest.mark.parametrize("colluding", [0.0, 0.05, 0.3])
def test_choosing_is_bounded_work(size: int, dropout: float, colluding: float) -> None:
    """Counted, not timed: a few chances for each number of neighbours, and at most 2^10 terms for each of them."""
    for cache in (parameters._choose, half_floor, log2_tail, committee_size):
        cache.cache_clear()
    wanted = Assumptions(dropout=dropout, colluding=colluding)
    for found in (choose, committee_size):
        try:
            found(size, wanted)
        except ConfigError:
            continue
    assert log2_tail.cache_info().misses < 16 * parameters.LARGEST_DEGREE
    if (dropout, colluding) == (0.1, 0.05):
        assert log2_tail.cache_info().misses < 500


@pytest.mark.parametrize(("degree", "threshold"), [(2**31, 2**30), (2, 1), (0, 0), (2**32 - 1, 2**32 - 1), (64, 32)])
def test_what_a_server_shows_is_compared_and_costs_nothing(
    degree: int, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chance is computed for parameters that somebody else names."""
    from secagg_cases import World

    from fedrec.secagg.server_messages import Cohort

    world = World.of(40, thresholds=Thresholds(cohort=20, survivors=15), graph=choose(40))
    cohorts = world.advertise()
    monkeypatch.setattr(tails, "log2_tail", None)
    monkeypatch.setattr(parameters, "log2_tail", None)
    shown = replace(Cohort.from_bytes(cohorts[0], 40), degree=degree, threshold=threshold)
    with pytest.raises(RefusedError) as caught:
        world.rounds[0].share(shown.to_bytes())
    assert caught.value.reason is Reason.WEAK_PARAMETERS


@pytest.mark.parametrize("size", [0, 1, 2])
def test_no_parameters_for_nobody(size: int) -> None:
    with pytest.raises(ConfigError):
        choose(size, Assumptions(corrupt=0.5, dropout=0.4))


def test_small_cohorts_know_everybody() -> None:
    assert choose(3) == GraphParameters(2, 2)
    assert [choose(size).degree for size in range(3, 34)] == list(range(2, 33))


def test_floors_follow_the_devices_asked() -> None:
    thresholds = Thresholds(cohort=20, survivors=15)
    assert [thresholds.least_sum(size) for size in (10, 15, 20, 100, 1000)] == [15, 15, 18, 90, 900]
    assert [thresholds.least_cohort(size) for size in (10, 20, 100, 1000)] == [20, 20, 90, 900]
    noisy = thresholds.for_noise(survivors=95, largest=100)
    assert noisy.least_sum(100) == 95
    with pytest.raises(RefusedError) as caught:
        noisy.check_cohort(101, 101)
    assert caught.value.reason is Reason.WEAK_PARAMETERS


@given(size=st.integers(2, 5000), dropout=st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.33]))
@settings(deadline=None, max_examples=100)
def test_noise_is_shared_out_for_the_smallest_sum_that_opens(size: int, dropout: float) -> None:
    """What the devices' noise is enough for is what every device insists on, of all that the sum is asked of."""
    shares = NoiseShares(1.0, size, dropout, 0.05)
    found = Thresholds(cohort=2, survivors=2, assumptions=Assumptions(dropout=dropout))
    noisy = found.for_noise(shares.survivors, size)
    assert noisy.least_sum(size) == max(2, found.least_sum(size)) == max(2, shares.survivors)
    assert shares.honest <= found.least_sum(size) - math.ceil(round(0.05 * size, 9)) or size < 5


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
