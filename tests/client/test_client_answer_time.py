"""When answers leave: at times that the arrival of a message fixes, and never before they are there."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.client.answer_time import DEFAULT, NODE_KEY, AnswerSchedule
from fedrec.config.simulated import VARIABLE
from fedrec.errors import ConfigError

FIRST = st.floats(1e-3, 10)
TAKEN = st.floats(0, 1e4)


class Time:
    """A clock that only sleeping and reckoning move."""

    def __init__(self, lazy: float = 1.0) -> None:
        self.now, self.lazy = 5.0, lazy

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds * self.lazy, 1e-9)


@given(FIRST, TAKEN)
def test_an_answer_leaves_at_the_first_time_of_the_schedule_that_is_not_before(first: float, taken: float) -> None:
    leaves = AnswerSchedule(first).leaves(taken)
    assert taken <= leaves <= max(first, 2 * taken)
    doublings = leaves / first
    assert doublings >= 1 and doublings == 2 ** round(math.log2(doublings))


@given(FIRST, TAKEN, TAKEN)
def test_two_answers_between_the_same_times_leave_together(first: float, one: float, other: float) -> None:
    schedule = AnswerSchedule(first)
    assert (schedule.leaves(one) == schedule.leaves(other)) == (max(one, other) <= schedule.leaves(min(one, other)))


@pytest.mark.parametrize("lazy", [1.0, 0.3])
def test_waiting_ends_when_the_answer_leaves_and_not_before(lazy: float) -> None:
    time = Time(lazy)
    schedule = AnswerSchedule(0.5, time.clock, time.sleep)
    arrived = time.now
    time.now += 0.7
    schedule.wait(arrived)
    assert time.now == pytest.approx(arrived + 1.0)


def test_without_a_first_time_nothing_waits() -> None:
    time = Time()
    AnswerSchedule(0.0, time.clock, time.sleep).wait(time.now - 0.1)
    assert time.now == 5.0


def test_the_nodes_own_config_says_when_and_only_simulations_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AnswerSchedule.of({}).first == DEFAULT > 0
    assert AnswerSchedule.of({NODE_KEY: 3}).first == 3
    assert AnswerSchedule.of({"simulation": True}).first == 0
    assert AnswerSchedule.of({"simulation": True, NODE_KEY: 0.25}).first == 0.25
    monkeypatch.setenv(VARIABLE, "1")
    assert AnswerSchedule.of({}).first == 0


@pytest.mark.parametrize("said", [-1, 3601, float("nan"), "soon", True, None])
def test_what_is_no_number_of_seconds_is_an_error(said: object) -> None:
    with pytest.raises(ConfigError):
        AnswerSchedule.of({NODE_KEY: said})
