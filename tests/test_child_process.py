"""A child of ours ends with its parent, whatever ends the parent, and is ended where it does not end by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedrec import child_process
from fedrec.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
CHILD = """
import sys, time
from fedrec import child_process

class Command:
    def load(self):
        def run():
            print(sys.argv, flush=True)
            time.sleep(600)
        return run

child_process.entry_points = lambda group, name: [Command()] if name == "a-command" else []
child_process.run_watched("a-command")
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "--option"])
time.sleep(600)
"""


@pytest.mark.slow
def test_a_child_ends_when_its_parent_is_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARENT, CHILD]
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    # Printed by the child, which has its parent's output: it runs, as the command, with its own arguments.
    assert parent.stdout.readline() == "['a-command', '--option']\n"
    parent.send_signal(signal.SIGKILL)
    assert parent.wait() == -signal.SIGKILL
    # The end of the output: nobody is left who has it open.
    assert parent.stdout.read() == ""


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_child_is_asked_to_end_and_then_made_to(monkeypatch: pytest.MonkeyPatch, stubborn: bool) -> None:
    monkeypatch.setattr(child_process, "_END_SECONDS", 0.5)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if stubborn else ""
    code = f"import signal, time; {deaf}print('up', flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child_process.end_child(child)
    assert child.returncode == -(signal.SIGKILL if stubborn else signal.SIGTERM)
    child.stdout.close()


def test_a_command_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigError, match="no-such-command"):
        child_process.run_watched("no-such-command")


@pytest.mark.slow
def test_a_child_whose_parent_was_killed_before_it_could_look_ends_as_well() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), child_process.PARENT: str(gone.pid)}
    child = subprocess.Popen([sys.executable, "-c", CHILD, "--option"], env=environment, stdout=subprocess.DEVNULL)
    try:
        assert child.wait(60) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()
    assert child_process.watched_environment({"A": "1"}) == {"A": "1", child_process.PARENT: str(os.getpid())}
