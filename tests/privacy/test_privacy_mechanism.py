"""The noise that is added: on the grid, of the right size, and exactly addable."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedrec import randomness
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import gaussian_delta
from fedrec.privacy.discrete import discrete_gaussian
from fedrec.privacy.distributed import ROUNDING
from fedrec.privacy.mechanism import GaussianMechanism, grid_sensitivity
from fedrec.secagg.ring import Ring, resolution_for
from fedrec.secagg.rounding import stochastic_steps

KEY = randomness.key(7, "mechanism")


@given(st.floats(0.01, 100), st.floats(1e-3, 1e3), st.integers(0, 30))
def test_noise_is_the_discrete_gaussian_in_whole_steps(z: float, sensitivity: float, bits: int) -> None:
    resolution = resolution_for(sensitivity, bits)
    mechanism = GaussianMechanism(z, sensitivity, resolution)
    steps = mechanism.noise(KEY, 50) / resolution
    assert np.array_equal(steps, np.rint(steps))
    needed = math.sqrt((z * sensitivity / resolution) ** 2 + ROUNDING**2)
    assert mechanism.standard_deviation / resolution == pytest.approx(needed, rel=1e-12)
    assert np.array_equal(steps, discrete_gaussian(KEY, mechanism.standard_deviation / resolution, 50))


@pytest.mark.parametrize("steps", [0.3, 1.5, 40.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_the_noise_is_worth_what_is_accounted(steps: float, epsilon: float) -> None:
    """The exact divergence of the noise from itself moved by a whole row, on a coarse grid too."""
    deviation = GaussianMechanism(steps / 3, 3.0, 1.0).standard_deviation
    k = np.arange(-30 * int(deviation + 1), 30 * int(deviation + 1) + 1, dtype=np.float64)
    mass = np.exp(-(k**2) / (2 * deviation**2))
    mass /= mass.sum()
    moved = np.exp(-((k - 3) ** 2) / (2 * deviation**2)) / np.exp(-(k**2) / (2 * deviation**2)).sum()
    assert np.maximum(mass - math.exp(epsilon) * moved, 0).sum() <= gaussian_delta(steps / 3, epsilon) + 1e-14


@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_the_stated_scale_is_the_real_scale(factor: float, accepted: bool) -> None:
    z, sensitivity, n = 1.3, 0.72, 3000
    noise = GaussianMechanism(z * factor, sensitivity, 2.0**-20).noise(KEY, n) / (z * sensitivity)
    low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], n)
    assert bool(low < float(np.sum(noise**2)) < high) is accepted
    assert bool(stats.kstest(noise, "norm").pvalue > 1e-4) is accepted


def test_adding_noise_to_an_opened_sum_is_exact() -> None:
    """No last bit is lost: the noisy sum less the noise is the sum, to the bit."""
    resolution = resolution_for(1.0, 20)
    ring = Ring.for_sum(1.0, resolution, 6040)
    values = np.linspace(-1, 1, 1001)
    total = ring.decode(ring.encode(values * 6040, resolution, limit=6040.0), resolution)
    noise = GaussianMechanism(1.0, 1.0, resolution).noise(KEY, 1001)
    noisy = total + noise
    assert np.array_equal(noisy - noise, total)
    assert np.array_equal(noisy / resolution, np.rint(noisy / resolution))


def test_keys_decide_the_noise() -> None:
    mechanism = GaussianMechanism(1.0, 1.0, 2.0**-20)
    assert np.array_equal(mechanism.noise(KEY, 8), mechanism.noise(KEY, 8))
    assert not np.array_equal(mechanism.noise(KEY, 8), mechanism.noise(randomness.fresh_key(), 8))
    assert mechanism.noise(KEY, 0).shape == (0,)


@given(
    length=st.integers(1, 30),
    bits=st.integers(0, 12),
    norm=st.floats(0.01, 1),
    seed=st.integers(0, 2**32),
)
def test_one_row_never_changes_a_rounded_sum_by_more(length: int, bits: int, norm: float, seed: int) -> None:
    """A contribution of several rows with and without one of them, after rounding."""
    resolution = resolution_for(1.0, bits)
    generator = np.random.default_rng(seed)
    row = generator.normal(size=length)
    row *= norm / np.linalg.norm(row)
    others = generator.normal(size=length)
    key = randomness.key(seed, "rounding")
    with_row, without = (stochastic_steps(v, resolution, key) for v in (others + row, others))
    assert np.linalg.norm((with_row - without) * resolution) <= grid_sensitivity(norm, resolution, length) * (1 + 1e-12)


def test_grid_sensitivity_by_hand() -> None:
    assert grid_sensitivity(1.0, 0.25, 16) == 2.0  # four steps, and one for each of 16 elements
    root = math.sqrt(2 * 80 * math.log(2))
    fine = math.sqrt(4096**2 + 2500 + root * (4096 + 50)) / 4096
    assert grid_sensitivity(1.0, 2.0**-12, 10_000) == pytest.approx(fine, rel=1e-12)
    assert fine < 1.002 < 1 + 100 / 4096


def test_the_likely_norm_of_a_rounded_row_is_not_understated() -> None:
    """Rows whose remainders are all a half grow most: their mean is below the bound, and above nine tenths of it."""
    length, steps = 2500, 60
    row = np.full(length, 1.5)  # 75 steps in norm
    bound = grid_sensitivity(float(np.linalg.norm(row)), 1.0, length)
    norms = [np.linalg.norm(stochastic_steps(row, 1.0, randomness.key(n, "norm"))) for n in range(steps)]
    assert max(norms) < bound < np.linalg.norm(row) + math.sqrt(length)
    assert np.mean(norms) > 0.9 * bound


def test_absurd_settings_are_refused() -> None:
    for z, sensitivity, resolution in (
        (0.0, 1.0, 0.5),
        (math.nan, 1.0, 0.5),
        (1.0, 0.0, 0.5),
        (1.0, math.inf, 0.5),
        (1.0, 1.0, 0.0),
        (1.0, 1.0, 0.3),
        (1.0, 1.0, 2.0**-50),
    ):
        with pytest.raises(PrivacyError):
            GaussianMechanism(z, sensitivity, resolution)
    with pytest.raises(PrivacyError):
        GaussianMechanism(1.0, 1.0, 0.5).noise(KEY, -1)
    with pytest.raises(PrivacyError):
        GaussianMechanism(1.0, 1.0, 0.5).noise(b"short", 1)
    for bound, resolution, length in ((0.0, 0.5, 1), (1.0, 0.3, 1), (1.0, 0.5, 0)):
        with pytest.raises(PrivacyError):
            grid_sensitivity(bound, resolution, length)
