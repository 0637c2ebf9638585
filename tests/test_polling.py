"""Pauses between two looks: bounded, a share of the wait, and few of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import ConfigError
from fedrec.polling import Polling


class Clock:
    """Turned by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@given(came=st.floats(0.0, 5000.0), share=st.floats(0.01, 1.0))
def test_what_comes_is_seen_within_a_share_of_its_wait(came: float, share: float) -> None:
    clock = Clock()
    polling = Polling(0.05, 1e9, share, clock)
    begun = clock.now
    while clock.now < begun + came:
        clock.sleep(polling.pause())
    assert clock.now - begun - came <= max(0.05, share * came) + 1e-6


def test_a_long_wait_takes_few_looks_and_what_came_makes_pauses_short_again() -> None:
    clock = Clock()
    polling, pauses = Polling(0.1, 3.0, 0.5, clock), list[float]()
    while clock.now < 160.0:
        pauses.append(polling.pause())
        clock.sleep(pauses[-1])
    assert pauses == sorted(pauses) and pauses[0] == 0.1 and pauses[-1] == 3.0
    assert len(pauses) < 32, "Flower's own, every three seconds, are 20"
    polling.came()
    assert polling.pause() == 0.1


@pytest.mark.parametrize(("shortest", "longest"), [(0.0, 1.0), (2.0, 1.0)])
def test_bounds_that_are_none_are_refused(shortest: float, longest: float) -> None:
    with pytest.raises(ConfigError, match="pauses"):
        Polling(shortest, longest)
