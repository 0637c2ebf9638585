"""Sums whose noise the devices add: exact in the ring, of the accounted scale, private with the allowed share gone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedrec.errors import FedrecError, SumError
from fedrec.privacy.distributed import ROOM, NoiseShares
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.randomness import key

LENGTH, DEVICES, Z = 3000, 50, 2.0
SHARES = NoiseShares(Z, DEVICES, 0.2, 0.1)
PLAIN = PrivateSum.rotated("training", LENGTH, 0.5, DEVICES, seed=key(0, "turn"), expected=DEVICES)
NOISY = PLAIN.noisy(SHARES)


def noise_of(present: int, agreed: PrivateSum = NOISY) -> np.ndarray:
    """What the opened sum of so many devices is off by, in units of the accounted deviation."""
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(present, LENGTH))
    parts *= 0.5 / np.linalg.norm(parts, axis=1, keepdims=True)
    total = None
    for number, part in enumerate(parts):
        total = agreed.add(total, agreed.encode(part, key=key(number, "a device")))
    return (agreed.read(agreed.open(total)) - parts.sum(axis=0)) / (Z * NOISY.sensitivity)


@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_with_the_allowed_share_gone_honest_noise_is_what_is_accounted(factor: float, accepted: bool) -> None:
    """35 honest survivors of 50, when ten are gone and five tell: of their noise the claim is made."""
    assert (SHARES.survivors, SHARES.honest, NOISY.survivors) == (40, 35, 40)
    agreed = PLAIN.noisy(NoiseShares(Z * factor, DEVICES, 0.2, 0.1))
    off = noise_of(SHARES.honest, agreed)
    assert bool(stats.kstest(off, "norm").pvalue > 1e-4) is accepted
    low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], LENGTH)
    assert bool(low < float((off**2).sum()) < high) is accepted


def test_with_everybody_there_is_more_noise_and_never_less() -> None:
    off = noise_of(DEVICES)
    assert float((off**2).mean()) == pytest.approx(DEVICES / 35, rel=0.15)
    assert NOISY.deviation(DEVICES) == pytest.approx(Z * NOISY.sensitivity * math.sqrt(50 / 35), rel=1e-3)


def test_one_draw_for_a_cohort_is_the_shares_of_all() -> None:
    agreed = NOISY
    steps = agreed.ring.steps(agreed.elements(np.zeros(LENGTH), key=key(0, "all"), devices=DEVICES))
    assert steps.dtype == np.int64
    scale = agreed.deviation(DEVICES) / agreed.resolution
    assert stats.kstest(steps / scale, "norm").pvalue > 1e-4
    assert stats.kstest(steps / (scale * 3 / 2), "norm").pvalue < 1e-9


def test_shared_noise_costs_next_to_nothing_more_and_fewer_bits() -> None:
    for length in (300, 4425, 1_000_000):
        for devices in (30, 1000, 6040):
            plain = PrivateSum.rotated("t", length, 1.0, devices, seed=key(0, "turn"), expected=devices)
            noisy = plain.noisy(NoiseShares(5.0, devices, 0.1, 0.1))
            assert noisy.sensitivity <= 1.01
            assert length < 4000 or devices > 1000 or noisy.bytes_up <= 2.6 * length
            # Rounding every row, beside the noise.
            assert noisy.resolution * math.sqrt(devices / 4) < 0.02 * noisy.deviation(devices)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 2000),
    bound=st.floats(1e-3, 1e3),
    z=st.floats(0.1, 60),
    devices=st.integers(5, 10_000),
    rotated=st.booleans(),
)
def test_the_ring_holds_the_rows_and_thirteen_deviations(
    length: int, bound: float, z: float, devices: int, rotated: bool
) -> None:
    plain = PrivateSum.of("t", length, bound, devices)
    if rotated:
        plain = PrivateSum.rotated("t", length, bound, devices, seed=bytes(32), expected=devices)
    agreed = plain.noisy(NoiseShares(z, devices, 0.1, 0.1))
    worst = devices * (math.floor(agreed.element_bound / agreed.resolution) + 1)
    noise = ROOM * agreed.deviation(devices) / agreed.resolution
    assert worst + noise < agreed.ring.modulus / 2
    header = Request("training", 1, 2, agreed).header()
    assert Request.from_parts(header, {}).sum == agreed


def test_a_grid_too_coarse_for_the_shares_is_refused() -> None:
    with pytest.raises(SumError, match="3 to 2\\^18 steps"):
        PrivateSum.of("t", 5, 1.0, 100, resolution_bits=1).noisy(SHARES, fixed_grid=True)
    fields = {"name": "t", "length": 3, "bound": 1.0, "resolution": 2.0**-11, "rows": 50}
    for wrong in ({"noise": 1.0}, {"devices": 5}, {"noise": 1.0, "devices": 5, "dropout": 1.0}, {"noise": "1"}):
        with pytest.raises((FedrecError, TypeError)):
            PrivateSum(**fields | wrong)  # type: ignore[arg-type]
