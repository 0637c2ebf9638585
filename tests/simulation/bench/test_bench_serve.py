"""The benchmark of `fedrec serve` starts the command, asks it and ends it."""

from __future__ import annotations

import pytest

from fedrec.simulation.bench.serve import Load, run_serve


@pytest.mark.slow
def test_requests_are_answered_and_counted() -> None:
    found = run_serve(Load(items=200, events=5, connections=2, workers=1), seconds=0.2)
    assert found["requests_per_second"] > 0
    assert 0 < found["milliseconds"]["median"] <= found["milliseconds"]["p99"]
