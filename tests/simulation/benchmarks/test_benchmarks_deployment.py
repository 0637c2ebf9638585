"""What is counted of a deployment's processes, and how kills and loads are told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrec.detached import ProcessMark
from fedrec.errors import ProtocolError
from simulations.benchmarks import deployment_faults as faults
from simulations.benchmarks import deployment_load as load
from simulations.benchmarks import deployment_short_way as short_way


def outcome(target: str, at: float | None, phase: str, *, verified: bool = True) -> faults.KillOutcome:
    return faults.KillOutcome(target, at, phase, f"it {phase}", 20.0, 2, verified)


def test_each_kind_of_kill_is_a_row_and_what_did_not_finish_is_told() -> None:
    outcomes = [
        outcome("superlink", 1.0, "finished"),
        outcome("superlink", 4.0, faults.WENT_ON),
        outcome("superlink", 2.0, "stopped", verified=False),
        outcome("device", 3.0, "running"),
        outcome("device", None, "finished"),
    ]
    lines = faults.table_of(outcomes).splitlines()
    assert "| superlink | 3 | 2 | 1 | 0 | 2 | 20, 20 |" in lines
    assert "| device | 1 | 0 | 0 | 1 | 1 | 20, 20 |" in lines, "a process that was not found was not killed"
    assert [line for line in lines if line.startswith("- ")] == [
        "- superlink after 2.0 s: it stopped",
        "- device after 3.0 s: it running",
    ]


@pytest.fixture
def working() -> ProcessMark:
    """This process, which has worked for a moment."""
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    return ProcessMark.of(os.getpid())


def test_processes_are_added_up_by_kind(working: ProcessMark) -> None:
    gone = ProcessMark(2**30, "0")
    usages = load.usage_of([("superlink", working), ("supernodes", working), ("supernodes", working), ("server", gone)])
    one, two = usages["superlink"], usages["supernodes"]
    assert (one.processes, two.processes, usages["server"].processes) == (1, 2, 0)
    assert one.seconds > 0 and two.seconds >= 2 * one.seconds
    assert two.memory == pytest.approx(2 * one.memory, rel=0.1)
    assert 1 < load.memory_of([("superlink", working)]) <= one.memory * 1.1


def test_the_supernode_is_found_as_the_child_of_what_answers() -> None:
    parent = [sys.executable, "-c", "import subprocess, sys; subprocess.run(['sleep', '30'])"]
    with subprocess.Popen(parent) as process:
        mark, end = ProcessMark.of(process.pid), time.monotonic() + 20
        while (child := faults.child_of(mark)) is None and time.monotonic() < end:
            time.sleep(0.02)
        assert child is not None and child.alive and child.pid != process.pid
        child.end(5.0)
    assert faults.child_of(mark) is None


def test_a_loads_seconds_are_told_between_the_first_sum_and_the_last() -> None:
    usages = [{kind: load.Usage(3, 10.0 + 2 * sums, 300.0 + sums) for kind in load.KINDS} for sums in range(3)]
    idle = dict.fromkeys(load.KINDS, 0.25)
    one = load.Load(3, "finished", (9.0, 7.0, 8.0), 1, tuple(usages), (0.0, 10.0, 20.0), 900.0, 2.5, idle)
    told = load.table_of([one])
    assert "| 3 | 8.0 | 9.0, 7.0, 8.0 | 1 | 2.5 |" in told
    assert f"| 3 | {' | '.join(['2.00'] * len(load.KINDS))} |" in told
    assert f"| 3 | {' | '.join(['100.0 to 100.7'] * len(load.KINDS))} | 900 |" in told
    assert f"| 3 | {' | '.join(['0.250'] * len(load.KINDS))} |" in told


def test_each_command_of_a_script_is_timed_and_one_that_fails_is_told_with_its_logs(tmp_path: Path) -> None:
    rows = short_way.timed("sleep 0.3\nsleep 0.3 &\nwait\n", tmp_path)
    assert [line for line, _, _ in rows] == ["sleep 0.3", "sleep 0.3 &", "wait"]
    took = [seconds for _, _, seconds in rows]
    assert took[0] >= 0.29 and took[0] + took[1] + took[2] >= 0.58
    assert rows[2][1] == pytest.approx(took[0] + took[1], abs=1e-3)
    (tmp_path / "site.log").write_text("why it failed")
    with pytest.raises(ProtocolError, match="why it failed"):
        short_way.timed("false", tmp_path)


def test_the_pages_way_is_three_blocks_at_free_ports() -> None:
    way = short_way.ShortWay.of_page()
    assert (
        way.made.startswith("fedrec data shop") and "fedrec recommend" in way.run and "fedrec server down" in way.after
    )
    assert "--monitor-port" in way.run and ":9094" not in way.after
