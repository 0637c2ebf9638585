"""Benchmark ``solve`` runs on a small catalogue and says what it measured."""

from __future__ import annotations

from fedrec.simulation.bench.solve import SolveSizes, run_solve


def test_it_times_every_step_and_says_how_far_from_its_bound_reading_is() -> None:
    found = run_solve(SolveSizes(items=1_000, width=8, rank=4, prior=16, table=8, fold_in=6, users=2))
    steps = ("kernel", "expected", "directions", "denoise", "read", "write release", "read release", "rank a user")
    assert tuple(found["seconds"]) == steps
    assert set(steps) <= set(found["processor_seconds"])
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert 4 <= found["columns"] <= 1 + 4 + 16
    assert found["read_to_bound"] > 0 and found["peak_mb"]["read"] > 0
