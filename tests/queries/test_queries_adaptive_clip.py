"""A clip that adapts: towards the quantile from both sides, at its price, and as far as devices agreed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.config import AdaptiveClipSettings, PrivacySettings
from fedrec.errors import ProtocolError
from fedrec.queries import adaptive_clip

NORMS = np.random.default_rng(5).lognormal(0.0, 1.0, 4000)


def adapted(start: float, quantile: float, noise: float, rounds: int = 80) -> float:
    """The clip after some rounds over rows with these norms. ``noise``: multiplier of the whole sum."""
    generator = np.random.default_rng(1)
    adaptive = AdaptiveClipSettings(quantile=quantile)
    clip = start
    for _ in range(rounds):
        within = int((clip >= NORMS).sum())
        element = adaptive_clip.bits(within, len(NORMS) - within, clip, adaptive)
        element += generator.normal() * noise * adaptive_clip.joint_bound(clip, adaptive)
        clip = adaptive_clip.next_clip(clip, element, len(NORMS), adaptive)
    return clip


@pytest.mark.parametrize("start", [0.01, 100.0])
@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_it_finds_the_quantile_from_both_sides(start: float, quantile: float) -> None:
    found = adapted(start, quantile, noise=0.0, rounds=200)
    assert (found >= NORMS).mean() == pytest.approx(quantile, abs=0.02)


@pytest.mark.parametrize("start", [0.05, 20.0])
def test_it_finds_the_median_through_noise(start: float) -> None:
    assert (adapted(start, 0.5, noise=20.0) >= NORMS).mean() == pytest.approx(0.5, abs=0.06)


def test_the_sign_is_that_of_the_paper() -> None:
    """One step by hand: all rows within, so the clip shrinks by exp(-0.2 * (1 - 0.5))."""
    adaptive = AdaptiveClipSettings(quantile=0.5, learning_rate=0.2)
    element = adaptive_clip.bits(10, 0, 3.0, adaptive)
    assert adaptive_clip.next_clip(3.0, element, 10, adaptive) == pytest.approx(3.0 * math.exp(-0.1))
    assert adaptive_clip.next_clip(3.0, -element, 10, adaptive) == pytest.approx(3.0 * math.exp(0.1))


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(0.001, 0.5), st.booleans())
def test_gradient_and_bit_together_are_within_the_joint_bound(clip: float, share: float, within: bool) -> None:
    adaptive = AdaptiveClipSettings(share=share)
    bit = adaptive_clip.bits(int(within), int(not within), clip, adaptive)
    joint = adaptive_clip.joint_bound(clip, adaptive)
    assert math.hypot(clip, bit) == pytest.approx(joint)
    assert bit**2 == pytest.approx(share * joint**2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.lists(st.floats(-1e6, 1e6), max_size=49))
def test_devices_accept_every_clip_that_the_rule_gives(number: int, elements: list[float]) -> None:
    adaptive = AdaptiveClipSettings(quantile=0.3, least=0.1, most=10.0)
    privacy = PrivacySettings(clip=1.0, adaptive_clip=adaptive)
    clip = 1.0
    for place, element in enumerate(elements, start=1):
        assert adaptive_clip.agreed_clip(clip, place, privacy) == clip
        clip = adaptive_clip.next_clip(clip, element, 10.0, adaptive)
        assert adaptive.least <= clip <= adaptive.most


@pytest.mark.parametrize(
    ("asked", "number"),
    [(1.3, 1), (0.7, 1), (1.5, 2), (11.0, 40), (0.05, 40), (math.nan, 3), (None, 1), ("1", 1), (True, 1)],
)
def test_devices_refuse_any_other_clip(asked: object, number: int) -> None:
    privacy = PrivacySettings(clip=1.0, adaptive_clip=AdaptiveClipSettings(least=0.1, most=10.0))
    with pytest.raises(ProtocolError):
        adaptive_clip.agreed_clip(asked, number, privacy)


def test_where_it_is_fixed_no_clip_is_asked_for() -> None:
    assert adaptive_clip.agreed_clip(None, 3, PrivacySettings(clip=2.0)) == 2.0
    with pytest.raises(ProtocolError):
        adaptive_clip.agreed_clip(2.0, 3, PrivacySettings(clip=2.0))


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="where it starts"):
        PrivacySettings(clip=5.0, adaptive_clip=AdaptiveClipSettings(most=1.0))
    with pytest.raises(ValueError, match="banded"):
        PrivacySettings(noise="banded", adaptive_clip=AdaptiveClipSettings())
