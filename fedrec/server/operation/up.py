"""`fedrec server up`: a SuperLink, its SuperExec, the fence before them, and the run that the publisher signed last."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import uvicorn

from fedrec.detached import ProcessMark, told_to_end
from fedrec.enrolment.invite import parse_address
from fedrec.errors import ConfigError, FedrecError, ProtocolError
from fedrec.server.fence import Fence
from fedrec.server.operation.certificates import expiry_of
from fedrec.server.operation.control import ControlApi, node_key_bytes
from fedrec.server.operation.monitor import Monitor
from fedrec.server.operation.processes import KeptProcess
from fedrec.server.operation.public_files import PublicFiles
from fedrec.server.operation.run_keeper import RunKeeper, RunOptions
from fedrec.server.operation.running import is_up, read_running
from fedrec.server.operation.server_directory import ServerDirectory, check_private
from fedrec.server.superexec import superexec_command
from fedrec.server.superlink import LOOPBACK, ServerFiles, fence_server, server_environment, superlink_command
from fedrec.whole_files import read_json, write_json

_log = logging.getLogger(__name__)
_TICK_SECONDS: Final = 0.5
_NODES_SECONDS: Final = 2.0
_START_SECONDS: Final = 180.0


@dataclass
class Upkeep:
    """One server while it is up. ``left``: after the end, what was left in the middle."""

    server: ServerDirectory
    options: RunOptions
    left: str = ""
    _processes: list[KeptProcess] = field(default_factory=list)
    _control: ControlApi | None = None
    _nodes: dict[str, int] = field(default_factory=lambda: {"registered": 0, "online": 0})
    _nodes_at: float = 0.0
    _written: dict[str, Any] = field(default_factory=dict)

    def run(self, started: Callable[[], None]) -> None:
        """Keep all of it up until the process is told to end (SIGTERM or SIGINT).

        Args:
            started: called once devices and operators are answered.

        Raises:
            ConfigError: there is no server in the directory, it is up already, or its certificate has ended.
            ProtocolError: it does not come up.
        """
        facts = self._checked()
        files = ServerFiles(
            self.server.authority,
            self.server.certificate,
            self.server.key,
            self.server.database,
            self.server.superexec_secret,
        )
        environment = {
            **server_environment(),
            "FLWR_HOME": str(self.server.flower_home),
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",
        }
        self._processes = [
            KeptProcess(name, command, environment, self.server.logs / f"{name}.log")
            for name, command in (
                ("superlink", superlink_command(files, facts.control_port)),
                ("superexec", superexec_command(files, facts.control_port)),
            )
        ]
        self._control = ControlApi(facts.control_port, self.server.authority)
        keeper = RunKeeper(self.server, self.options)
        trusted = ssl.create_default_context(cafile=str(self.server.authority))
        public = PublicFiles(self.server.public)
        fence = Fence(f"https://{LOOPBACK}:{facts.control_port}", trusted, public)
        monitor = Monitor(self.server)
        with (
            told_to_end() as ended,
            _answering(fence_server(files, parse_address(facts.listen), fence), ended),
            _answering(monitor.server(facts.monitor_port), ended),
        ):
            try:
                self._loop(keeper, ended, started)
            finally:
                self.left = self._end(keeper)

    def _checked(self) -> Any:
        facts = self.server.facts()
        check_private(self.server.path)
        if is_up(read_running(self.server)):
            raise ConfigError(
                "the server is up already", value=str(self.server.path), action="See fedrec server status"
            )
        if expiry_of(self.server.certificate) <= datetime.now(UTC):
            action = "Certify it anew: fedrec server certify DIR"
            raise ConfigError("the server's certificate has ended", value=self.server.certificate.name, action=action)
        return facts

    def _loop(self, keeper: RunKeeper, ended: threading.Event, started: Callable[[], None]) -> None:
        answered, end = False, time.monotonic() + _START_SECONDS
        while not ended.is_set():
            up = [process.keep() for process in self._processes]
            problem = "" if all(up) else "a process is being started again"
            try:
                self._sync_nodes()
                keeper.step(self._api)
            except FedrecError as error:
                problem = str(error)
                if answered and problem != self._written.get("problem"):
                    _log.warning("%s", error)
                elif not answered and time.monotonic() >= end:
                    raise ProtocolError(
                        "the SuperLink does not come up", action=f"Look into {self.server.logs / 'superlink.log'}"
                    ) from None
            else:
                if not answered:
                    answered = True
                    self._write(keeper, "")
                    started()
            if answered:
                self._write(keeper, problem)
            ended.wait(_TICK_SECONDS)

    @property
    def _api(self) -> ControlApi:
        assert self._control is not None
        return self._control

    def _sync_nodes(self) -> None:
        """Let those SuperNodes in that are enrolled, and no others."""
        if time.monotonic() < self._nodes_at:
            return
        enrolled = read_json(self.server.nodes, 1 << 28) or {}
        wanted = {node_key_bytes(one["node_key"]) for one in enrolled.values()}
        there = {node.key: node for node in self._api.nodes()}
        for key in wanted - set(there):
            self._api.register(key)
        for key in set(there) - wanted:
            self._api.unregister(there[key].id)
        online = sum(node.online for key, node in there.items() if key in wanted)
        self._nodes = {"registered": len(wanted), "online": online}
        self._nodes_at = time.monotonic() + _NODES_SECONDS

    def _write(self, keeper: RunKeeper, problem: str) -> None:
        tree = {
            "process": ProcessMark.of(os.getpid()).tree(),
            "processes": {process.name: process.facts() for process in self._processes},
            "run": keeper.facts(),
            "nodes": self._nodes,
            "problem": problem,
        }
        if tree != self._written:
            write_json(self.server.state, {**tree, "at": datetime.now(UTC).isoformat(timespec="seconds")})
            self._written = tree

    def _end(self, keeper: RunKeeper) -> str:
        left = keeper.end(self._control)
        for process in reversed(self._processes):
            process.end()
        if self._control is not None:
            self._control.close()
        with suppress(FedrecError):
            write_json(self.server.state, {"run": keeper.facts(), "left": left, "problem": ""})
        if left:
            _log.warning("%s", left)
        return left


@contextmanager
def _answering(server: uvicorn.Server, ended: threading.Event) -> Iterator[None]:
    """Answer in a thread while the context lasts. Raises ProtocolError where the port cannot be had."""
    thread = threading.Thread(target=_serve, args=(server,), daemon=True)
    thread.start()
    end = time.monotonic() + _START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < end and not ended.is_set():
        time.sleep(0.02)
    try:
        if not server.started and not ended.is_set():
            address = f"{server.config.host}:{server.config.port}"
            action = "See what else listens there, or name another port"
            raise ProtocolError("the server cannot listen", value=address, action=action)
        yield
    finally:
        server.should_exit = True
        thread.join(10.0)


def _serve(server: uvicorn.Server) -> None:
    with suppress(SystemExit):  # how uvicorn says that the port is taken
        server.run()
