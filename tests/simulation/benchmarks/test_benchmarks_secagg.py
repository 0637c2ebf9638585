"""The secure aggregation benchmark: a real round with an exact sum, honest accounting, a rival and a table."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

import fedrec.cli.bench
import fedrec.cli.main
from fedrec.errors import ConfigError
from fedrec.secagg.parameters import GraphParameters, choose
from fedrec.secagg.ring import Ring
from fedrec.simulation.bench import secagg
from fedrec.simulation.bench.secagg import finest, prepare, run_secagg
from fedrec.simulation.bench.secagg_flower import compare
from fedrec.simulation.bench.secagg_limits import mask_figures
from simulations.benchmarks.secagg_plot import svg
from simulations.benchmarks.secagg_scaling import markdown, study


def test_a_round_is_exact_and_counted() -> None:
    found = run_secagg(40, 300, 0.1, limits=False)
    assert found["exact"] is True
    assert (found["dropped"], found["neighbours"], found["threshold"]) == (4, *vars(choose(40)).values())
    # The packed vector; two shares of 32 bytes with a tag for each neighbour, and a receipt: no message is not counted.
    vector = 300 * found["bits"] // 8
    assert vector + found["neighbours"] * 80 < found["bytes_up"] < vector + found["neighbours"] * 300
    assert found["bytes_down"] > found["neighbours"] * (32 + 32 + 64 + 80)
    assert 0 < found["device_cpu_ms"] <= found["device_ms"] * 1.5
    assert found["server_s"] > 0


def test_a_wrong_sum_would_be_noticed() -> None:
    bench = prepare(20, 50, 0.0, GraphParameters(19, 11), workers=1)
    original = bench.vector

    def changed(device: bytes) -> Any:
        vector = original(device)
        # The server is given one vector, the expectation another.
        bench.expected[0] = (bench.expected[0] + np.uint64(1)) % np.uint64(bench.agreed.ring.modulus)
        return vector

    bench.vector = changed  # type: ignore[method-assign]
    assert bench.run(1)[1] is False


def test_rounds_that_cannot_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secagg, "_MOST_ROUNDS", 2)
    with pytest.raises(ConfigError, match="fail again and again"):
        run_secagg(40, 10, 0.4, neighbours=4, threshold=4, limits=False)


@pytest.mark.parametrize("devices", [3, 1000, 10_000])
def test_the_grid_fills_the_bits(devices: int) -> None:
    assert Ring.for_sum(1.0, finest(devices), devices).bits <= 20
    assert Ring.for_sum(1.0, finest(devices) / 2, devices).bits > 20


def test_a_masks_price_and_its_limits() -> None:
    found = mask_figures(50_000, 8, Ring(20), 2)
    assert found["keystream_limit_ns"] > 0 and found["memory_limit_ns"] > 0
    assert found["keystream_share"] == pytest.approx(found["keystream_limit_ns"] / found["ns_per_element_mask"])
    assert found["word_bytes"] == 4
    assert mask_figures(1_000, 2, Ring(40), 1)["word_bytes"] == 8


@pytest.mark.slow
def test_the_rival_opens_the_right_mean_beside_ours() -> None:
    found = compare(12, 200, 0.1, [4], workers=1)
    (row,) = found["compared"]
    assert (row["neighbours"], row["threshold"]) == (4, 3)
    assert row["fedrec"]["exact"] is True and row["flower"]["right"] is True
    assert row["device_times_faster"] == pytest.approx(row["flower"]["device_ms"] / row["fedrec"]["device_ms"])
    assert found["against"].startswith("flwr 1.")


def test_the_command_prints_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.bench.register], []))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    result = CliRunner().invoke(
        fedrec.cli.main.build(), ["bench", "secagg", "--devices", "30", "--length", "100", "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {"device_ms", "server_s", "exact", "ns_per_element_mask", "bytes_up", "bytes_down"} <= set(found)


def test_the_study_stops_in_time_and_is_written_down() -> None:
    rows = study([20, 30, 10**6], 50, 0.0, seconds=30)
    assert [row["devices"] for row in rows] == [20, 30]
    table = markdown(rows, "the command")
    assert "| 20 | 19 | " in table and "`the command`" in table and "NO" not in table
    picture = ElementTree.fromstring(svg(rows))
    lines = [one.attrib for one in picture if one.tag.endswith("polyline")]
    assert len(lines) == 4
    for line in lines:
        assert len(line["points"].split()) == 2
