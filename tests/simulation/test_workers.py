"""Worker processes are gone as soon as their parent is, killed or not, idle or in the midst of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrec.simulation.privacy import sweep_runs
from fedrec.simulation.workers import process_pool

LOOKS = 1200
PARENT = """
import os, sys, time
from fedrec.simulation.workers import process_pool

def busy(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    with process_pool(2) as pool:
        futures = [pool.submit(busy, seconds) for seconds in (600.0, 0.2)]
        futures[1].result()
        print("started", flush=True)
        futures[0].result()
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # In a container nobody may fetch the exit status of what was orphaned.
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_parent_that_is_killed(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    workers: list[int] = []
    try:
        assert parent.stdout is not None
        for line in parent.stdout:
            if line.startswith("started"):
                break
            workers.append(int(line))
        assert len(workers) == 2
        assert not any(gone(pid) for pid in workers)
        parent.send_signal(how)
        parent.wait()
        # A busy one would stay for ten minutes: who is still there after so many looks has not noticed.
        for _ in range(LOOKS):
            if all(gone(pid) for pid in workers):
                break
            time.sleep(0.05)
        assert all(gone(pid) for pid in workers)
    finally:
        parent.kill()
        for pid in workers:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_pool_that_ends_by_itself_gives_its_results() -> None:
    with process_pool(1) as pool:
        assert pool.submit(abs, -3).result(timeout=60) == 3


def test_sweeps_work_in_such_processes() -> None:
    assert vars(sweep_runs)["process_pool"] is process_pool
