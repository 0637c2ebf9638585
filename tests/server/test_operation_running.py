"""What keeps a server up: runs that are started again, processes that are, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from operation_cases import OperatedServer

from fedrec.detached import ProcessMark
from fedrec.errors import BudgetExceededError, ConfigError, FedrecError, StoreError
from fedrec.server.operation import run_keeper
from fedrec.server.operation.control import FlowerRun
from fedrec.server.operation.monitor import Monitor, exposition
from fedrec.server.operation.processes import KeptProcess
from fedrec.server.operation.public_files import PublicFiles
from fedrec.server.operation.run_keeper import ATTEMPTS, RunKeeper, RunOptions
from fedrec.server.operation.running import end_server
from fedrec.server.operation.status import server_status
from fedrec.server.run_directory import _alone
from fedrec.server.run_marks import FAILURE, failure_of, marked_run, running_process
from fedrec.whole_files import write_json


@dataclass
class FakeControl:
    """A SuperLink that remembers: ``ended`` says how each run is to have ended."""

    started: list[dict[str, Any]] = field(default_factory=list)
    ended: dict[int, FlowerRun] = field(default_factory=dict)
    stopped: list[int] = field(default_factory=list)

    def runs(self) -> dict[int, FlowerRun]:
        live = {number: FlowerRun(number, False, False, "") for number in range(1, len(self.started) + 1)}
        return {**live, **self.ended}

    def start_run(self, config: dict[str, Any]) -> int:
        self.started.append(config)
        return len(self.started)

    def stop_run(self, number: int) -> None:
        self.stopped.append(number)
        self.fail(number, "stopped")

    def fail(self, number: int, details: str = "it failed") -> None:
        self.ended[number] = FlowerRun(number, True, False, details)


@pytest.fixture
def server(tmp_path: Path) -> OperatedServer:
    made = OperatedServer.make(tmp_path)
    made.enrolled("a", "b")
    return made


@pytest.fixture
def keeper(server: OperatedServer, monkeypatch: pytest.MonkeyPatch) -> RunKeeper:
    monkeypatch.setattr(run_keeper, "_PAUSES", (0.0,))
    monkeypatch.setattr(run_keeper, "_LOOK_SECONDS", 0.0)
    return RunKeeper(server.made.server, RunOptions())


def _step(keeper: RunKeeper, control: FakeControl, times: int = 1) -> None:
    for _ in range(times):
        keeper.step(control)  # type: ignore[arg-type]


def test_a_run_is_started_with_what_the_publisher_signed(server: OperatedServer, keeper: RunKeeper) -> None:
    control = FakeControl()
    _step(keeper, control)
    manifest, roster = server.made.server.run_files(1)
    [config] = control.started
    assert (config["manifest"], config["roster"], config["devices"]) == (str(manifest), str(roster), 2)
    assert config["out"] == str(server.made.server.run(1))
    assert keeper.phase == "running"


def test_a_run_that_is_cut_off_is_started_again_until_it_does_not_get_any_further(
    server: OperatedServer, keeper: RunKeeper
) -> None:
    control, out = FakeControl(), server.made.server.run(1)
    for number in range(1, ATTEMPTS + 1):
        _step(keeper, control)
        with (out / "events.jsonl").open("a", encoding="utf-8") as log:
            log.write('{"devices": 0, "reason": "aggregation failed"}\n')
        write_json(out / FAILURE, {"code": "store", "what": f"the disk is full ({number})", "action": "Make room"})
        control.fail(number)
        _step(keeper, control)
    assert len(control.started) == ATTEMPTS
    assert keeper.phase == "stopped"
    assert "[store] the disk is full" in keeper.said and "Make room" in keeper.said
    _step(keeper, control, 3)
    assert len(control.started) == ATTEMPTS


def test_a_run_that_gets_on_is_started_again_more_often(server: OperatedServer, keeper: RunKeeper) -> None:
    control, out = FakeControl(), server.made.server.run(1)
    for number in range(1, ATTEMPTS + 3):
        _step(keeper, control)
        with (out / "events.jsonl").open("a", encoding="utf-8") as log:
            log.write('{"devices": 2}\n')
        _step(keeper, control)
        control.fail(number)
        _step(keeper, control)
    assert keeper.phase == "paused"
    assert len(control.started) == ATTEMPTS + 2


def test_a_run_whose_process_is_gone_is_started_again_before_flower_finds_out(
    server: OperatedServer, keeper: RunKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_keeper, "_GONE_SECONDS", -1.0)
    control, out = FakeControl(), server.made.server.run(1)
    _step(keeper, control)
    write_json(out / "process.json", ProcessMark.of(os.getpid()).tree())
    _step(keeper, control)
    assert control.stopped == []
    (out / "process.json").unlink()
    _step(keeper, control)
    assert control.stopped == [1]
    _step(keeper, control)
    assert len(control.started) == 2


def test_a_run_is_not_started_beside_a_process_that_works_on_it(server: OperatedServer, keeper: RunKeeper) -> None:
    control, out = FakeControl(), server.made.server.run(1)
    _step(keeper, control)
    write_json(out / "process.json", ProcessMark.of(os.getpid()).tree())
    control.fail(1)
    _step(keeper, control, 3)
    assert len(control.started) == 1
    with _alone(out), pytest.raises(StoreError, match="another process"), _alone(out):
        pass


def test_another_manifest_replaces_a_run(server: OperatedServer, keeper: RunKeeper) -> None:
    control = FakeControl()
    _step(keeper, control)
    server.enrolled("c")
    _step(keeper, control)
    assert control.stopped == [1]
    assert keeper.counter == 2
    assert control.started[-1]["devices"] == 3


def test_a_finished_run_is_not_started_again(server: OperatedServer, keeper: RunKeeper) -> None:
    control = FakeControl()
    (server.made.server.run(1) / "server.json").write_text("{}", encoding="utf-8")
    _step(keeper, control, 3)
    assert (keeper.phase, control.started) == ("finished", [])


def test_a_roster_below_the_least_cohort_waits_in_words(tmp_path: Path) -> None:
    made = OperatedServer.make(tmp_path)
    made.enrolled("a")
    keeper, control = RunKeeper(made.made.server, RunOptions()), FakeControl()
    _step(keeper, control)
    assert (keeper.phase, control.started) == ("waiting", [])
    assert "1 more devices" in keeper.said


def test_a_run_says_who_works_on_it_and_why_it_ended(tmp_path: Path) -> None:
    with pytest.raises(BudgetExceededError), marked_run(tmp_path):
        mark = running_process(tmp_path)
        assert mark is not None and mark.pid == os.getpid()
        raise BudgetExceededError("too much", action="Stop")
    assert running_process(tmp_path) is None
    assert failure_of(tmp_path) == {"code": "budget", "what": "too much", "action": "Stop"}
    with marked_run(tmp_path):
        pass
    assert failure_of(tmp_path) is None


def test_a_process_is_started_again_and_ends_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedrec.server.operation.processes._PAUSES", (0.0,))
    command = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
    kept = KeptProcess("sleeper", command, dict(os.environ), tmp_path / "log")
    assert kept.keep()
    first = kept.mark
    assert first is not None and first.alive
    os.kill(first.pid, 9)
    while first.alive:
        time.sleep(0.01)
    assert kept.keep()
    second = kept.mark
    assert second is not None and second.pid != first.pid
    assert kept.facts()["restarts"] == 1
    kept.end()
    assert not second.alive


def test_a_process_that_has_another_ones_id_is_not_signalled() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        stale = ProcessMark(other.pid, "1")
        assert not stale.alive
        assert not stale.end(0.1)
        assert other.poll() is None
        true = ProcessMark.of(other.pid)
        assert true.alive and ProcessMark.read(true.tree()) == true
        assert not true.end(5.0)
    finally:
        other.kill()
        other.wait()
    assert ProcessMark.read({"pid": 1}) is None and ProcessMark.read(None) is None


def _asked(app: Any, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> Any:
        return {"type": "http.request"}

    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"type": "http", "method": method, "path": path, "headers": named}, receive, send))
    return sent[0]["status"], b"".join(event.get("body", b"") for event in sent[1:])


def test_public_files_are_given_away_and_nothing_else(server: OperatedServer, tmp_path: Path) -> None:
    public = server.made.server.public
    app = PublicFiles(public)
    assert _asked(app, "/fedrec/manifest") == (200, server.made.server.manifest.read_bytes())
    assert _asked(app, "/fedrec/catalogue/features.safetensors")[0] == 200
    (public / "catalogue" / "link.json").symlink_to(server.made.server.key)
    (public / "release").mkdir()
    (public / "release" / "inner.d").mkdir()
    for path in ("link.json", "../../server.key", "none.json", ".hidden"):
        assert _asked(app, f"/fedrec/catalogue/{path}") == (404, b"")
    for path in ("/fedrec/release/inner.d", "/fedrec/", "/fedrec/server.key", "/fedrec/../server.key"):
        assert _asked(app, path) == (404, b"")
    assert _asked(app, "/fedrec/manifest", "POST") == (404, b"")


def test_figures_need_the_token_and_name_nobody(server: OperatedServer) -> None:
    monitor = Monitor(server.made.server)
    token = server.made.server.token.read_text(encoding="ascii").strip()
    assert _asked(monitor, "/health")[0] == 200
    assert _asked(monitor, "/ready")[0] == 503
    assert _asked(monitor, "/metrics")[0] == 401
    assert _asked(monitor, "/metrics", authorization="Bearer wrong")[0] == 401
    status, text = _asked(monitor, "/metrics", authorization=f"Bearer {token}")
    assert status == 200
    lines = text.decode().splitlines()
    assert "fedrec_up 0" in lines and "fedrec_manifest_counter 1" in lines
    assert 'fedrec_run_phase{phase="waiting"} 1' in lines
    assert token not in text.decode() and "phone" not in text.decode()


def test_a_server_that_is_up_is_ready_unless_a_process_is_down(server: OperatedServer) -> None:
    mine = ProcessMark.of(os.getpid()).tree()
    running: dict[str, Any] = {"process": mine, "processes": {"superlink": {"process": mine, "restarts": 2}}}
    write_json(server.made.server.state, running)
    monitor = Monitor(server.made.server)
    assert _asked(monitor, "/ready")[0] == 200
    assert 'fedrec_process_restarts_total{process="superlink"} 2' in exposition(server_status(server.made.server))
    running["processes"]["superexec"] = {"process": None, "restarts": 0}
    write_json(server.made.server.state, running)
    status, body = _asked(monitor, "/ready")
    assert status == 503 and json.loads(body)["why"] == "superexec does not run"


def test_down_signals_nobody_where_nothing_is_up(server: OperatedServer) -> None:
    with pytest.raises(ConfigError, match="not up"):
        end_server(server.made.server)
    # An id that another process has by now.
    write_json(server.made.server.state, {"process": {"pid": os.getppid(), "started": "1"}})
    with pytest.raises(ConfigError, match="not up"):
        end_server(server.made.server)


def test_status_of_a_damaged_state_is_an_error_in_words(server: OperatedServer) -> None:
    server.made.server.state.write_text("{", encoding="utf-8")
    with pytest.raises(FedrecError, match="damaged"):
        server_status(server.made.server)
