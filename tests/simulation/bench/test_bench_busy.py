"""``fedrec bench busy``: it starts its own load, stops it, and tells both times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.errors import FedrecError
from fedrec.simulation.bench import busy


def test_it_tells_both_times_and_what_a_process_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def run(command: list[str], environment: dict[str, str]) -> str:
        assert not set(environment) & set(busy.ADDED)
        if "simulate" in command:
            Path(command[command.index("--out") + 1]).mkdir()
            started.append(len(command))
        return "1"

    monkeypatch.setattr(busy, "_run", run)
    monkeypatch.setattr(busy, "SETTLE_SECONDS", 0.0)
    done = CliRunner().invoke(build(), ["bench", "busy", "--users", "20", "--seconds", "0", "--busy", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["busy"] == 1
    assert found["quiet"]["runs"] == found["loaded"]["runs"] == 3
    assert found["threads"] == {"quiet": 1, "loaded": 1}
    assert len(started) == 8


def test_busy_processes_are_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "SETTLE_SECONDS", 0.0)
    kept: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*words: object) -> subprocess.Popen[bytes]:
        kept.append(popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return kept[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(RuntimeError), busy.busy_processes(2):
        assert all(process.poll() is None for process in kept)
        raise RuntimeError
    assert len(kept) == 2
    assert all(process.poll() is not None for process in kept)


def test_a_run_that_fails_says_why() -> None:
    with pytest.raises(FedrecError, match="failed"):
        busy._run([sys.executable, "-c", "raise SystemExit('no such thing')"], {})
