"""A server and its devices on loopback, made with the commands of docs/deployment.md: for what is measured of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fedrec.client.flower_runtime import free_port
from fedrec.detached import ProcessMark
from fedrec.errors import ProtocolError
from fedrec.server.operation.running import read_running
from fedrec.server.operation.server_directory import ServerDirectory, server_of
from fedrec.server.operation.status import events_of
from fedrec.server.run_marks import running_process
from fedrec.whole_files import read_json
from server.deploy.deployment import DEVICES

OVER: Final = ("finished", "stopped")
_COMMAND: Final = (sys.executable, "-m", "fedrec.cli.main")
_ITEMS: Final = 150
_AT_A_TIME: Final = 2


class LoopbackDeployment:
    """A server and its devices on loopback, in a directory of their own, or in one where they are up already.

    Args:
        directory: where everything is.
        devices: how many there are.
    """

    def __init__(self, directory: Path, devices: int = DEVICES) -> None:
        self.directory = directory.absolute()
        self.environment = {**os.environ, "FEDREC_CACHE": str(self.directory / "cache")}
        self.devices = [f"phone-{number}" for number in range(devices)]

    @property
    def server(self) -> ServerDirectory:
        return server_of(self.directory / "site")

    def store(self, number: int) -> Path:
        """The event store of a device."""
        return self.directory / "stores" / f"{number:05d}.sqlite"

    def call(self, *words: str) -> str:
        """One of fedrec's commands. Raises ProtocolError where it fails."""
        done = subprocess.run(
            [*_COMMAND, *words], cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ProtocolError(f"fedrec {' '.join(words[:2])} failed: {(done.stdout + done.stderr)[-1500:]}")
        return done.stdout

    @contextmanager
    def up(self, settings: str, *, users: int, patience: float = 30.0) -> Iterator[None]:
        """Everything from nothing, up while the context lasts, with its first run signed.

        Args:
            settings: TOML.
            users: of the shop, as many as there are devices at least.
            patience: of the server, in seconds.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "settings.toml").write_text(settings, encoding="utf-8")
        self.call("data", "shop", "shop", "--users", str(users), "--items", str(_ITEMS))
        self.call("data", "stores", "shop", "--out", "stores")
        ports = [str(free_port()) for _ in range(3)]
        where = ["--listen", f"127.0.0.1:{ports[0]}", "--control-port", ports[1], "--monitor-port", ports[2]]
        self.call("server", "init", "site", "--settings", "settings.toml", "--catalogue", "shop", *where)
        try:
            self.call("server", "up", "site", "--detach", "--patience", str(patience), "--wait", "600")
            with ThreadPoolExecutor(_AT_A_TIME) as starting:
                list(starting.map(self._start, range(len(self.devices))))
            self.call("server", "enrol", "site", *(f"{name}/request.json" for name in self.devices))
            yield
        finally:
            with ThreadPoolExecutor(_AT_A_TIME) as ending:
                list(ending.map(self._end, self.devices))
            with suppress(ProtocolError):
                self.call("server", "down", "site")

    def _start(self, number: int) -> None:
        store = ["--store", str(self.store(number)), "--every", "1"]
        self.call("device", "up", self.devices[number], "--invite", "site/invite.json", *store, "--detach")

    def _end(self, name: str) -> None:
        with suppress(ProtocolError):
            self.call("device", "down", name)

    def wait(self, seconds: float) -> dict[str, Any]:
        """What the run's keeper says once the newest run is over, or after so many seconds."""
        end = time.monotonic() + seconds
        while (run := self.run())["phase"] not in OVER and time.monotonic() < end:
            time.sleep(0.2)
        return run

    def begun(self, counter: int, seconds: float = 300.0) -> None:
        """Return once a run has been started. Raises ProtocolError after so many seconds."""
        end = time.monotonic() + seconds
        while not ((run := self.run())["counter"] == counter and run["phase"] in ("running", *OVER)):
            if time.monotonic() >= end:
                raise ProtocolError("a run was not started", value=run)
            time.sleep(0.1)

    def run(self) -> dict[str, Any]:
        """What the run's keeper says."""
        run: dict[str, Any] = read_running(self.server).get("run", {"phase": "waiting", "counter": 0})
        return run

    def sums(self, counter: int) -> int:
        """How many sums of a run were opened."""
        return sum(bool(one.get("devices")) for one in events_of(self.server.run(counter)))

    def server_process(self, name: str) -> ProcessMark | None:
        """``superlink``, ``superexec``, ``serverapp`` (the process of the run), or ``server``, which keeps these up."""
        if name == "serverapp":
            return running_process(self.server.run(self.run()["counter"]))
        tree = read_running(self.server)
        return ProcessMark.read(tree.get("process") if name == "server" else tree["processes"][name].get("process"))

    def device_process(self, name: str, which: str = "taking_part") -> ProcessMark | None:
        """The process of a device that answers, and whose child is the SuperNode; ``process``: what keeps it up."""
        return ProcessMark.read((read_json(self.directory / name / "running.json") or {}).get(which))
