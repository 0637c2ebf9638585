"""Timings are compared round by round, so that a slow spell of the machine meets all contenders alike."""

from __future__ import annotations

import json

import pytest

from fedrec.simulation.bench.measuring import LEAST_RUNS, Machine, Timing, in_turn


def test_a_ratio_is_of_rounds_and_not_of_medians() -> None:
    # The machine was ten times slower in two of three rounds: each round's ratio is 2, that of the fastest runs is 20.
    ours, theirs = Timing((2.0, 20.0, 20.0)), Timing((1.0, 10.0, 10.0))
    assert ours.ratio_to(theirs) == 2.0
    assert ours.median == 20.0
    assert ours.facts() == {"median": 20.0, "fastest": 2.0, "slowest": 20.0, "runs": 3}


def test_a_ratio_needs_as_many_runs_of_both() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Timing((1.0, 2.0)).ratio_to(Timing((1.0,)))


def test_contenders_run_in_turn_after_a_run_that_is_not_measured() -> None:
    order: list[str] = []
    found = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, seconds=0.0)
    assert order == ["a", "b"] * (1 + LEAST_RUNS)
    assert all(len(timing.runs) == LEAST_RUNS and min(timing.runs) > 0 for timing in found.values())


def test_facts_of_the_machine_are_plain_values() -> None:
    assert json.loads(json.dumps(Machine.here().facts()))["cores"] >= 1
