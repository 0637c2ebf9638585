"""Hot functions take about as long beside a product of matrices as they did when that was stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import simulations.benchmarks
from fedrec.simulation.bench.hot import compared, run_hot

STORED: dict[str, float] = json.loads(
    (Path(simulations.benchmarks.__file__).parent / "hot.json").read_text(encoding="utf-8")
)
MOST = 4.0


@pytest.mark.slow
def test_no_hot_function_takes_several_times_as_long_as_it_did() -> None:
    """By processor time, the least of some tries, in units of a product timed in turn: on a machine with ten other jobs
    figures of several runs were within three times each other."""
    slower = compared(run_hot(), STORED, MOST)
    # Whatever came in between does not come twice.
    assert not slower or not compared(run_hot(), STORED, MOST), slower


def test_what_became_slow_is_named_with_how_much() -> None:
    now = {**STORED, "8 masks": 10 * STORED["8 masks"], "another": 5.0}
    assert compared(now, STORED, MOST) == {"8 masks": 10.0}
    assert compared(STORED, STORED, 1.0) == {}
