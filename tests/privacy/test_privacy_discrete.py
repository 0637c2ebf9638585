"""The discrete Gaussian: exact whole numbers of the stated distribution, and of no other."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedrec import randomness
from fedrec.errors import PrivacyError
from fedrec.privacy import discrete
from fedrec.privacy.discrete import discrete_gaussian
from fedrec.privacy.distributed import smoothing

KEY = randomness.key(3, "discrete")


def chances(deviation: float, most: int) -> np.ndarray:
    """P(k) for k = -most .. most, straight from the definition."""
    k = np.arange(-most, most + 1, dtype=np.float64)
    wide = np.arange(-40 * int(deviation + 1), 40 * int(deviation + 1) + 1, dtype=np.float64)
    return np.exp(-(k**2) / (2 * deviation**2)) / math.fsum(np.exp(-(wide**2) / (2 * deviation**2)))


def p_value(drawn: np.ndarray, deviation: float) -> float:
    """Chi-square test of whole numbers against the definition, rare ones taken together."""
    most = int(4 * deviation) + 1
    expected = chances(deviation, most) * len(drawn)
    clipped = np.clip(drawn, -most, most)
    counts = np.bincount(clipped + most, minlength=2 * most + 1).astype(np.float64)
    expected[[0, -1]] += (len(drawn) - expected.sum()) / 2
    order = np.cumsum(expected) // max(10, len(drawn) / 200)
    groups = np.unique(order, return_inverse=True)[1]
    counts, expected = np.bincount(groups, counts), np.bincount(groups, expected)
    keep = expected >= 5
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected)[keep].sum(), int(keep.sum()) - 1))


@pytest.mark.parametrize("deviation", [0.9, 3.0, 17.3, 1000.0, 4097.0])
@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_the_stated_scale_is_the_real_scale(deviation: float, factor: float, accepted: bool) -> None:
    drawn = discrete_gaussian(KEY, deviation * factor, 20_000)
    assert drawn.dtype == np.int64
    assert (p_value(drawn, deviation) > 1e-4) is accepted


def test_a_normal_number_rounded_is_another_distribution() -> None:
    """The test tells them apart where they differ: the discrete Gaussian is no rounded normal number."""
    rounded = np.rint(randomness.gaussian(KEY, 200_000) * 0.6).astype(np.int64)
    assert p_value(rounded, 0.6) < 1e-9
    assert p_value(discrete_gaussian(KEY, 0.6, 200_000), 0.6) > 1e-4


@pytest.mark.parametrize("deviation", [0.5, 2.0, 100.0])
def test_the_table_is_the_definition(deviation: float) -> None:
    exact, high = discrete._table(deviation)
    k = np.arange(len(exact))
    whole = chances(deviation, int(39 * deviation))
    middle = len(whole) // 2
    below = np.array([math.fsum(whole[middle - n : middle + n + 1]) for n in k])
    assert np.abs(np.array([float(entry) / 2.0**127 for entry in exact]) - below).max() < 1e-14
    assert all(a <= b for a, b in pairwise(exact))
    assert exact[-1] < 1 << 127
    # The far tail, where double precision has nothing left of 1 - P: the ratio of neighbours' weights.
    weights = discrete._weights(deviation)
    for at in (1, len(weights) // 2, len(weights) - 1):
        assert math.log(weights[at] / weights[0]) == pytest.approx(-(at**2) / (2 * deviation**2), rel=1e-12)
    assert np.array_equal(high, np.array([entry >> 63 for entry in exact], dtype=np.uint64))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.5, 200), st.integers(0, 300))
def test_keys_decide_the_draws(deviation: float, n: int) -> None:
    drawn = discrete_gaussian(KEY, deviation, n)
    assert drawn.shape == (n,)
    assert np.array_equal(drawn, discrete_gaussian(KEY, deviation, n))
    assert np.array_equal(drawn[: n // 2], discrete_gaussian(KEY, deviation, n // 2))
    assert n < 50 or not np.array_equal(drawn, discrete_gaussian(randomness.fresh_key(), deviation, n))
    assert n == 0 or np.abs(drawn).max() <= 14 * deviation + 1


def test_where_the_first_bits_do_not_decide_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, high = discrete._table(2.0)
    first = int(high[3])
    rest = exact[3] & (1 << 63) - 1

    def stream(key: bytes, length: int) -> bytes:
        pairs = [(first, (rest - 1) << 1), (first, rest << 1), (first, rest << 1 | 1)]
        return b"".join(word.to_bytes(8, "little") for pair in pairs for word in pair)

    monkeypatch.setattr(discrete, "keystream", stream)
    assert discrete_gaussian(KEY, 2.0, 3).tolist() == [3, 4, -4]


@pytest.mark.parametrize("deviation", [4097.0, 2.0**18, 3e7, 2.0**39])
@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_large_noise_has_the_stated_scale(deviation: float, factor: float, accepted: bool) -> None:
    drawn = discrete_gaussian(KEY, deviation * factor, 20_000) / deviation
    low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], len(drawn))
    assert bool(low < float(np.sum(drawn**2)) < high) is accepted
    assert bool(stats.kstest(drawn, "norm").pvalue > 1e-4) is accepted


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_noise_of_two_parts_is_the_discrete_gaussian(stride: int) -> None:
    """The distribution of m A + B by convolution, with A narrower than any that is used, against the definition."""
    coarse, fine = 40.0, 4.0 * stride
    a, b = (np.arange(-int(12 * one), int(12 * one) + 1) for one in (coarse, fine))
    spread = np.zeros((len(a) - 1) * stride + 1)
    spread[::stride] = chances(coarse, int(12 * coarse))
    total = np.convolve(spread, chances(fine, int(12 * fine)))
    wanted = chances(math.hypot(stride * coarse, fine), len(total) // 2)
    near = np.abs(np.arange(len(total)) - len(total) // 2) < 8 * stride * coarse
    assert np.abs(total / wanted - 1)[near].max() < 1e-9
    assert len(b) < len(total)


@pytest.mark.parametrize("deviation", [4096.1, 2.0**18, 2.0**22, 2.0**33, 2.0**40])
def test_large_noise_is_split_into_parts_that_are_smooth(deviation: float) -> None:
    stride, coarse = discrete._split(deviation)
    fine = 4 * stride
    assert math.hypot(stride * coarse, fine) == pytest.approx(deviation, rel=1e-14)
    assert fine <= 4096 and coarse > 1023
    assert smoothing(coarse * fine / deviation) < 1e-136


def test_absurd_settings_are_refused() -> None:
    for deviation in (0.0, 0.4, -1.0, math.nan, math.inf, 2.0**41):
        with pytest.raises(PrivacyError):
            discrete_gaussian(KEY, deviation, 1)
    with pytest.raises(PrivacyError):
        discrete_gaussian(KEY, 2.0, -1)
    with pytest.raises(PrivacyError):
        discrete_gaussian(b"short", 2.0, 1)
