"""`fedrec device up`: take part in what the publisher signs, and keep the newest release, until it is told to end."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fedrec.child_process import end_child
from fedrec.client.isolated import isolated_command, isolated_environment, refuse_unless_isolated
from fedrec.client.own.device_directory import DeviceDirectory
from fedrec.client.own.fetch import PublicServer
from fedrec.client.own.update import TakenRun, Updates
from fedrec.detached import ProcessMark, start_detached, told_to_end
from fedrec.errors import ConfigError, FedrecError
from fedrec.whole_files import read_json, write_json

_log = logging.getLogger(__name__)
_COMMAND: Final = "fedrec.cli.main"
_PAUSES: Final = (1.0, 5.0, 20.0, 60.0)
_END_SECONDS: Final = 30.0
_START_SECONDS: Final = 180.0


@dataclass
class DeviceUpkeep:
    """One device while it is up.

    Args:
        directory: its.
        every: seconds between two looks at the server, the same whatever the store holds.
        start_options: further ones of `fedrec device start`, such as when to take part.
    """

    directory: DeviceDirectory
    every: float = 10.0
    start_options: Sequence[str] = ()
    _child: subprocess.Popen[bytes] | None = None
    _run: TakenRun | None = None
    _failures: int = 0
    _again_at: float = 0.0
    _written: Mapping[str, Any] | None = None

    def run(self, started: Callable[[], None]) -> None:
        """Keep it up until the process is told to end (SIGTERM or SIGINT). ``started``: called once it looks.

        Raises:
            ConfigError: there is no device in the directory, or it is up already.
        """
        refuse_unless_isolated()
        invite = self.directory.invite()
        if is_up(read_running(self.directory)):
            raise ConfigError("the device is up already", value=str(self.directory.path))
        _end_what_was_left(self.directory)
        with PublicServer(invite) as server, told_to_end() as ended:
            updates = Updates(self.directory, server)
            self._write("looking for its run", None)
            started()
            try:
                while not ended.is_set():
                    self._step(updates)
                    ended.wait(self._pause())
            finally:
                self._end_child()
                write_json(self.directory.state, {"said": "down"})

    def _step(self, updates: Updates) -> None:
        said, problem = "", ""
        try:
            run = updates.run()
            if run != self._run:
                self._end_child()
                self._run, self._failures, self._again_at = run, 0, 0.0
            if (version := updates.release()) is not None:
                _log.info("release %d is here", version)
        except FedrecError as error:
            problem = str(error)
            if problem != (self._written or {}).get("problem"):
                _log.warning("%s", error)
        said = (
            "not enrolled: have request.json enrolled"
            if self._run is None
            else f"takes part in run {self._run.counter}"
        )
        self._keep_child()
        self._write(said, problem)

    def _pause(self) -> float:
        """Short before the device is enrolled and while something is being started again."""
        return min(self.every, 1.0) if self._run is None or self._child is None else self.every

    def _keep_child(self) -> None:
        if self._child is not None and (code := self._child.poll()) is not None:
            self._child = None
            pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
            self._failures, self._again_at = self._failures + 1, time.monotonic() + pause
            _log.warning("taking part ended with %d and is started again in %g s", code, pause)
        if self._run is None or self._child is not None or time.monotonic() < self._again_at:
            return
        options = {
            "--superlink": self.directory.invite().address,
            "--root-certificates": self.directory.authority,
            "--node-key": self.directory.node_key,
            "--manifest": self._run.manifest,
            "--catalogue": self._run.catalogue,
            "--store": self.directory.store,
            "--roster": self._run.roster,
        }
        words = ["device", "start", *(str(word) for pair in options.items() for word in pair), *self.start_options]
        self._child = subprocess.Popen(
            isolated_command(_COMMAND, words), env=isolated_environment(os.environ), stdin=subprocess.DEVNULL
        )

    def _end_child(self) -> None:
        if self._child is not None:
            end_child(self._child)
            self._child = None

    def _write(self, said: str, problem: str | None) -> None:
        child = None if self._child is None else ProcessMark.of(self._child.pid).tree()
        tree = {
            "process": ProcessMark.of(os.getpid()).tree(),
            "taking_part": child,
            "run": None if self._run is None else self._run.counter,
            "said": said,
            "problem": problem or "",
        }
        if tree != self._written:
            write_json(self.directory.state, {**tree, "at": datetime.now(UTC).isoformat(timespec="seconds")})
            self._written = tree


def read_running(directory: DeviceDirectory) -> dict[str, Any]:
    """What `fedrec device up` says about itself; empty before the first start. Raises StoreError."""
    return read_json(directory.state) or {}


def is_up(running: Mapping[str, Any]) -> bool:
    """Whether the process that wrote this is there."""
    mark = ProcessMark.read(running.get("process"))
    return mark is not None and mark.alive and mark.pid != os.getpid()


def _end_what_was_left(directory: DeviceDirectory) -> None:
    """End what a `fedrec device up` that was killed left behind: two would answer with one store."""
    child = ProcessMark.read(read_running(directory).get("taking_part"))
    if child is not None:
        child.end(_END_SECONDS)


def start_device_up(directory: DeviceDirectory, options: list[str]) -> ProcessMark:
    """`fedrec device up` as a process of its own, once it is up.

    Raises:
        ConfigError: it is up already. ProtocolError: it did not come up; says the last that it printed.
    """
    if is_up(read_running(directory)):
        raise ConfigError("the device is up already", value=str(directory.path), action="See fedrec device down")
    _end_what_was_left(directory)
    directory.state.unlink(missing_ok=True)
    command = isolated_command(_COMMAND, ["device", "up", str(directory.path), *options])
    environment = isolated_environment(os.environ)
    return start_detached(
        command, environment, directory.log, lambda: is_up(read_running(directory)), seconds=_START_SECONDS
    )


def end_device(directory: DeviceDirectory) -> bool:
    """End what `fedrec device up` started, and nothing else; whether it had to be killed. Raises ConfigError."""
    directory.facts()
    running = read_running(directory)
    mark = ProcessMark.read(running.get("process"))
    if mark is None or not mark.alive:
        raise ConfigError("the device is not up", value=str(directory.path), action="Start it with fedrec device up")
    forced = mark.end(_END_SECONDS)
    _end_what_was_left(directory)
    return forced
