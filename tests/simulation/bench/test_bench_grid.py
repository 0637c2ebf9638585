"""The benchmark of engine grid runs a whole round, and its parts are those of the round."""

from __future__ import annotations

import pytest

from fedrec.simulation.bench.grid import Watch, run_grid


@pytest.mark.slow
def test_a_round_is_measured_and_taken_apart() -> None:
    found = run_grid([20, 24], 600, rounds=1, workers=1)
    assert list(found["sizes"]) == ["20", "24"]
    for size, one in found["sizes"].items():
        assert one["devices"] == int(size)
        assert one["processes"] == 1
        assert one["neighbours"] == one["devices"] - 1
        assert abs(one["parameters"] - 600) < 40
        assert one["bytes_up_a_device"] > one["parameters"] * 2
        assert sum(one["parts"].values()) == pytest.approx(one["seconds"]["median"], rel=1e-6)
        assert set(one["parts"]) == {"advertise", "share", "check", "mask", "confirm", "unmask", "opening"}
        assert one["bound_seconds"] > 0
        assert one["cpu_ms_a_device"] > 0
    assert found["linearity"] > 0


def test_an_exchange_without_messages_takes_no_time() -> None:
    watch = Watch()
    watch.last = {"secagg_advertise": 2.0, "secagg_share": 3.0}
    parts = watch.parts(1.0, 4.0)
    assert parts["advertise"] == parts["share"] == parts["opening"] == 1.0
    assert sum(parts.values()) == 3.0
