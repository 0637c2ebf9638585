"""Shares of noise: what their sum is worth, against the exact discrete Gaussian; and with devices gone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedrec import randomness
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import gaussian_delta
from fedrec.privacy.discrete import discrete_gaussian
from fedrec.privacy.distributed import ROUNDING, NoiseShares, slack, smoothing


def mass(deviation: float, points: np.ndarray) -> np.ndarray:
    wide = np.arange(-40 * int(deviation + 1), 40 * int(deviation + 1) + 1, dtype=np.float64)
    return np.exp(-(points**2) / (2 * deviation**2)) / math.fsum(np.exp(-(wide**2) / (2 * deviation**2)))


def exact_delta(first: np.ndarray, second: np.ndarray, epsilon: float) -> float:
    """The hockey-stick divergence between two distributions on the same integers."""
    return math.fsum(np.maximum(first - math.exp(epsilon) * second, 0))


@pytest.mark.parametrize("deviation", [3.0, 4.5, 20.0])
@pytest.mark.parametrize("moved", [1, 2, 7])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5, 1.0, 3.0])
def test_the_claim_bounds_the_exact_discrete_gaussian(deviation: float, moved: int, epsilon: float) -> None:
    points = np.arange(-30 * int(deviation), 30 * int(deviation) + 1, dtype=np.float64)
    exact = exact_delta(mass(deviation, points), mass(deviation, points - moved), epsilon)
    claimed = gaussian_delta(math.sqrt(deviation**2 - ROUNDING**2) / moved, epsilon)
    assert exact <= claimed * (1 + 1e-9) + 1e-15
    # And it is no wild overstatement where the noise is many steps.
    if deviation == 20.0:
        assert claimed < gaussian_delta(19.8 / moved, epsilon) + 1e-12


@pytest.mark.parametrize(("share", "devices", "epsilon"), [(3.0, 2, 0.3), (3.0, 5, 1.0), (4.0, 12, 0.1)])
def test_the_claim_bounds_the_exact_sum_of_shares(share: float, devices: int, epsilon: float) -> None:
    """The sum's distribution by convolution, not by the theorem."""
    reach = int(30 * share)
    one = mass(share, np.arange(-reach, reach + 1, dtype=np.float64))
    total = np.ones(1)
    for _ in range(devices):
        total = np.convolve(total, one)
    moved = 5
    first, second = np.pad(total, (moved, 0)), np.pad(total, (0, moved))
    claimed = gaussian_delta(math.sqrt(devices * share**2 - ROUNDING**2) / moved, epsilon)
    assert exact_delta(first, second, epsilon) <= claimed + 1e-14
    # Up to double precision it is the discrete Gaussian of the added variance.
    middle = np.arange(len(total)) - len(total) // 2
    assert np.abs(total - mass(math.sqrt(devices) * share, middle.astype(np.float64))).max() < 1e-15


@pytest.mark.parametrize("parameter", [0.5, 0.7, 1.0])
def test_smoothing_is_what_sums_over_shifted_integers_show(parameter: float) -> None:
    x = np.arange(-60, 61, dtype=np.float64)
    shifts = [math.fsum(np.exp(-((x + c) ** 2) / (2 * parameter**2))) for c in np.linspace(0, 1, 21)]
    off = max(abs(s / (parameter * math.sqrt(2 * math.pi)) - 1) for s in shifts)
    assert off == pytest.approx(smoothing(parameter), rel=1e-3)


def test_the_slack_is_nothing() -> None:
    assert slack(3.0, 2**20, 2**28) < 1e-20
    assert smoothing(ROUNDING) < 1e-33
    assert slack(3.0, 2, 10) < slack(3.0, 3, 10) < slack(3.0, 3, 11)
    with pytest.raises(PrivacyError):
        slack(2.9, 2, 10)


@settings(deadline=None, max_examples=100)
@given(
    z=st.floats(0.1, 50),
    devices=st.integers(10, 5000),
    dropout=st.floats(0, 0.4),
    colluding=st.floats(0, 0.4),
    steps=st.floats(1000, 20000),
)
def test_shares_are_enough_whoever_is_gone(
    z: float, devices: int, dropout: float, colluding: float, steps: float
) -> None:
    shares = NoiseShares(z, devices, dropout, colluding)
    try:
        share = shares.deviation(steps)
    except PrivacyError:
        assert not 3 <= math.sqrt(((z * steps) ** 2 + 4) / shares.honest) <= 2**18
        return
    gone, telling = math.floor(dropout * devices + 1e-9), math.ceil(colluding * devices - 1e-9)
    assert shares.survivors == devices - gone
    assert shares.honest == devices - gone - telling
    assert shares.multiplier(share, devices - gone - telling, steps) == pytest.approx(z, rel=1e-9)
    assert shares.multiplier(share, devices, steps) >= z * (1 - 1e-9)


@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
@pytest.mark.parametrize("present", [100, 80])
def test_a_sum_of_shares_has_the_accounted_scale(factor: float, accepted: bool, present: int) -> None:
    """Of 100 devices 20 may go and none tells: with 20 gone the scale is the accounted one, with all it is more."""
    z, sensitivity, length = 1.2, 500.0, 4000
    shares = NoiseShares(z, 100, 0.2, 0.0)
    share = shares.deviation(sensitivity)
    drawn = sum(discrete_gaussian(randomness.key(n, "share"), share * factor, length) for n in range(present))
    assert isinstance(drawn, np.ndarray)
    assert drawn.dtype == np.int64
    accounted = math.sqrt(shares.needed(sensitivity) * present / 80)
    assert bool(stats.kstest(drawn / accounted, "norm").pvalue > 1e-4) is accepted
    if accepted:
        low = stats.chi2.ppf(1e-6, length) / length
        assert float(np.mean(drawn.astype(np.float64) ** 2)) > low * shares.needed(sensitivity)


@pytest.mark.parametrize(
    ("z", "devices", "dropout", "colluding"),
    [(0.0, 10, 0.1, 0.1), (1.0, 0, 0.1, 0.1), (1.0, 10, 1.0, 0.0), (1.0, 10, 0.5, 0.5), (1.0, 10, -0.1, 0.0)],
)
def test_absurd_shares_are_refused(z: float, devices: int, dropout: float, colluding: float) -> None:
    with pytest.raises(PrivacyError):
        NoiseShares(z, devices, dropout, colluding)


def test_a_share_of_too_few_steps_is_refused() -> None:
    with pytest.raises(PrivacyError, match="finer"):
        NoiseShares(1.0, 100, 0.1, 0.1).deviation(10.0)
    with pytest.raises(PrivacyError, match="coarser"):
        NoiseShares(1.0, 4, 0.0, 0.0).deviation(1e7)
