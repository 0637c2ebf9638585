"""Banded noise: its sensitivity by brute force, its covariance by statistics, and the figure it was built for."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import approx_fprime

from fedrec import randomness
from fedrec.errors import ConfigError, PrivacyError
from fedrec.privacy import banded, banded_noise
from fedrec.privacy.accountant import QueryCost, delta
from fedrec.privacy.banded_noise import BandedNoise, chosen_bands
from fedrec.privacy.discrete import discrete_gaussian
from fedrec.privacy.planner import Setting, make_plan

KEY = randomness.key(5, "banded")


def _patterns(rounds: int, minimum_separation: int) -> list[tuple[int, ...]]:
    """Every set of rounds of which any two are at least so far apart."""
    chosen = itertools.chain.from_iterable(itertools.combinations(range(rounds), k) for k in range(1, rounds + 1))
    return [
        participations
        for participations in chosen
        if all(b - a >= minimum_separation for a, b in itertools.pairwise(participations))
    ]


@pytest.mark.parametrize(
    ("rounds", "minimum_separation", "bands"), [(7, 3, 3), (8, 3, 2), (6, 2, 2), (9, 4, 4), (5, 9, 5)]
)
def test_no_pattern_of_turns_moves_more_than_the_sensitivity(rounds: int, minimum_separation: int, bands: int) -> None:
    encoded = banded.encoder(rounds, banded.coefficients(rounds, bands))
    found = 0.0
    generator = np.random.default_rng(0)
    for participations in _patterns(rounds, minimum_separation):
        columns = encoded[:, participations]
        found = max(found, float(np.linalg.norm(columns)))  # turns in orthogonal directions
        for _ in range(5):  # and in any others, as vectors of two elements within the bound
            moves = generator.normal(size=(len(participations), 2))
            moves /= np.linalg.norm(moves, axis=1, keepdims=True)
            assert np.linalg.norm(columns @ moves) <= banded.sensitivity(encoded, minimum_separation) + 1e-12
        # all turns pulling the same way is the worst case where columns overlap
        assert np.linalg.norm(np.abs(columns).sum(axis=1)) <= banded.sensitivity(encoded, minimum_separation) + 1e-12
    assert banded.sensitivity(encoded, minimum_separation) == pytest.approx(found, rel=1e-12)
    assert found == pytest.approx(math.sqrt(math.ceil(rounds / minimum_separation)), rel=1e-12)


def test_bands_that_overlap_between_turns_have_no_bound() -> None:
    encoded = banded.encoder(12, banded.coefficients(12, 4))
    with pytest.raises(PrivacyError, match="4 bands"):
        banded.sensitivity(encoded, 3)
    # and rightly so: two turns 3 apart move it by more than sqrt(2), and with more turns past their count's root
    participations = encoded[:, [0, 3, 6, 9]].sum(axis=1)
    assert np.linalg.norm(participations) > 2.0


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_the_matrix_is_triangular_banded_and_normalised(rounds: int, bands: int) -> None:
    bands = min(bands, rounds)
    encoded = banded.encoder(rounds, banded.coefficients(rounds, bands))
    assert np.array_equal(encoded, np.tril(encoded))
    assert banded.bands_in(encoded) <= bands
    assert np.allclose(np.linalg.norm(encoded, axis=0), 1.0, atol=1e-12)
    prefix = np.tril(np.ones((rounds, rounds)))
    direct = math.sqrt(np.sum((prefix @ np.linalg.inv(encoded)) ** 2) / rounds)
    assert banded.error(encoded) == pytest.approx(direct, rel=1e-9)
    assert banded.error_ratio(rounds, bands) <= 1 + 1e-12


def test_one_band_is_independent_noise() -> None:
    assert np.array_equal(banded.encoder(5, banded.coefficients(5, 1)), np.eye(5))
    assert banded.error_ratio(200, 1) == pytest.approx(1.0)


def test_the_gradient_of_the_search_is_right_and_the_search_helps() -> None:
    at = np.array([0.4, 0.3, 0.2])
    slope = banded._objective(at, 12)[1]
    assert slope == pytest.approx(approx_fprime(at, lambda x: banded._objective(x, 12)[0]), abs=1e-5)
    start = banded.encoder(60, tuple(banded._square_root(8)))
    assert banded.error_ratio(60, 8) < 0.99 * banded.error(start) / math.sqrt(61 / 2)


def test_the_known_equivalent_noise_is_reached() -> None:
    """Population 6040, 100 a round, 200 rounds, epsilon 3, no amplification: at most 0.70 as independent noise."""
    found = make_plan(Setting(6040, 100, 200, 3.0, sampling="cyclic", noise="banded"))
    assert found.cost.participations == 4
    assert found.cost.noise_multiplier == pytest.approx(2.50, rel=0.01)
    assert 0.60 < found.equivalent <= 0.67


@pytest.mark.parametrize(("target", "known"), [(1.0, 1.74), (3.0, 0.67), (8.0, 0.29)])
def test_bands_are_at_least_as_good_as_is_known(target: float, known: float) -> None:
    found = make_plan(Setting(6040, 101, 200, target, sampling="cyclic", noise="banded"))
    assert found.cost.minimum_separation == 60
    equivalent = found.cost.noise_multiplier * banded.error_ratio(200, found.bands or 0)
    assert equivalent == found.equivalent
    assert 0.97 * known < equivalent < 1.01 * known


def _noise(factor: float, rounds: int = 12, bands: int = 4, length: int = 4000) -> np.ndarray:
    encoded = banded.encoder(rounds, banded.coefficients(rounds, bands))
    unit = 2.0**20 * factor
    streams = (
        np.rint(unit / encoded[t, t] * randomness.gaussian(randomness.derived_key(KEY, t), length)).astype(np.int64)
        for t in range(rounds)
    )
    return np.stack(list(banded.correlated(encoded, streams))) / 2.0**20


@pytest.mark.parametrize(("rounds", "bands"), [(12, 4), (64, 64), (300, 60)])
def test_rounding_down_moves_a_round_by_less_than_is_accounted(rounds: int, bands: int) -> None:
    """C times the noise is what was drawn, less what rounding took: exact products of whole numbers say how much."""
    encoded = banded.encoder(rounds, banded.coefficients(rounds, bands))
    drawn = [discrete_gaussian(randomness.derived_key(KEY, t), 2.0**37, 20) for t in range(rounds)]
    rows = list(banded.correlated(encoded, iter(drawn)))
    for t in (0, 1, rounds // 2, rounds - 1):
        exact = [
            sum(Fraction(encoded[t, s]) * int(rows[s][place]) for s in range(rounds)) / Fraction(encoded[t, t])
            for place in range(20)
        ]
        rest = [float(one - int(z)) for one, z in zip(exact, drawn[t], strict=True)]
        assert -1 - bands / 128 < min(rest) <= max(rest) < bands / 128


def test_shared_noise_is_as_large_as_is_accounted_and_hardly_larger() -> None:
    """C times the noise on the fine grid, by its parameter: the accounted deviation and what rounding may take."""
    stream = BandedNoise(200, 60, lambda number: KEY, 4.0)
    (first,) = itertools.islice(stream._streams(10, 2.0**37), 1)
    assert first.dtype == np.int64
    for length, most in ((10, 1e-6), (2**20, 1e-4)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(banded_noise, "discrete_gaussian", lambda key, deviation, n: deviation)
            asked = list(stream._streams(length, 2.0**37))
        slack = np.array(asked) * np.diag(stream._encoded) / 2.0**37 - 1
        needed = 4.0 * (2 + 60 / 64) * math.sqrt(200 * length) / 2.0**37
        assert needed <= slack.min() * (1 + 1e-9) and slack.max() < most


@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_its_covariance_over_rounds_is_what_was_accounted(factor: float, accepted: bool) -> None:
    noise = _noise(factor)
    encoded = banded.encoder(12, banded.coefficients(12, 4))
    whitened = encoded @ noise  # C times the noise must be independent standard normals again
    low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], whitened.size)
    assert bool(low < float(np.sum(whitened**2)) < high) is accepted
    # entry by entry: Wishart, var of an entry of the sample covariance = (s_ij^2 + s_ii s_jj) / n
    wanted = banded.covariance(encoded)
    spread = np.sqrt((wanted**2 + np.outer(np.diag(wanted), np.diag(wanted))) / noise.shape[1])
    within = np.abs(noise @ noise.T / noise.shape[1] - wanted) < 5 * spread
    assert bool(within.all()) is accepted
    assert bool(stats.kstest(whitened.ravel(), "norm").pvalue > 1e-4) is accepted


def test_independent_noise_is_not_taken_for_banded_noise() -> None:
    plain = np.stack([randomness.gaussian(randomness.derived_key(KEY, t), 4000) for t in range(12)])
    wanted = banded.covariance(banded.encoder(12, banded.coefficients(12, 4)))
    assert np.abs(plain @ plain.T / 4000 - wanted).max() > 0.2


def test_prefix_sums_of_the_noise_have_the_stated_error() -> None:
    noise = _noise(1.0)
    sums = np.cumsum(noise, axis=0)
    stated = banded.error(banded.encoder(12, banded.coefficients(12, 4)))
    assert math.sqrt(float(np.mean(sums**2))) == pytest.approx(stated, rel=0.03)


def test_rounds_and_bands_out_of_range_are_refused() -> None:
    for rounds, bands in ((0, 1), (5, 0), (5, 6), (5000, 3)):
        with pytest.raises(PrivacyError):
            banded.coefficients(rounds, bands)


def test_long_runs_are_quick_and_still_gain() -> None:
    assert banded.error_ratio(600, 30) < 0.3


@pytest.mark.parametrize(("bands", "groups"), [(4, 4), (3, 4), (1, 4)])
def test_sampled_turns_of_a_group_are_poisson_sampled_gaussians(bands: int, groups: int) -> None:
    """The likelihood ratios of whole runs of a device that is drawn in some of its turns, against the account."""
    rounds, noise, chance, draws = 12, 0.8, 0.3, 400_000
    rng = np.random.default_rng(3)
    turns = banded.encoder(rounds, banded.coefficients(rounds, bands))[:, 1::groups]  # of the second group
    drawn = rng.random((draws, turns.shape[1])) < chance
    seen = [noise * rng.normal(size=(draws, rounds)) for _ in range(2)]
    seen[0] += drawn @ turns.T
    lengths = (turns**2).sum(0)

    def ratio(sums: banded.Matrix) -> banded.Matrix:
        # Of all draws that may be, not turn by turn: that turns do not overlap is what is tested.
        total = np.zeros(draws)
        for one in itertools.product((0, 1), repeat=turns.shape[1]):
            weight = math.prod(chance if here else 1 - chance for here in one)
            moved = turns @ np.array(one, float)
            total += weight * np.exp((sums @ moved - moved @ moved / 2) / noise**2)
        return total

    ratios = [ratio(one) for one in seen]
    cost = QueryCost("training", noise, rounds, "cyclic-poisson", chance, groups)
    assert np.allclose(lengths, 1) and cost.participations == 3
    for level in (0.0, 0.5, 2.0):
        allowed = delta([cost], level)
        found = []
        for gain in (1 - math.exp(level) / ratios[0], 1 - math.exp(level) * ratios[1]):
            gain = np.maximum(gain, 0)
            assert gain.mean() <= allowed + 6 * gain.std() / math.sqrt(draws)
            found.append(float(gain.mean()))
        assert max(found) >= allowed * 0.98 - 1e-4  # and no more is claimed than must be


def test_more_bands_than_groups_would_overlap_and_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 4"):
        chosen_bands(5, QueryCost("training", 1.0, 12, "cyclic-poisson", 0.3, 4))
