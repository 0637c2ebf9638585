"""Processes that outlive the command that started them: how they are found again, and ended without harm to others.

A process id alone names nobody: ids are given anew.  So with the id goes the moment at which the kernel started the
process, and only the process that has both is signalled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from fedrec.errors import ProtocolError

_PROCESSES: Final = Path("/proc")
_STARTED_FIELD: Final = 19  # of /proc/PID/stat, counted after the name's closing bracket


@dataclass(frozen=True)
class ProcessMark:
    """``pid``: its id.  ``started``: the kernel's word for when it began; empty where there is no ``/proc``."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """The mark of a process of this id."""
        return cls(pid, _started(pid))

    @classmethod
    def read(cls, tree: Any) -> ProcessMark | None:
        """The inverse of `tree`; None for anything else."""
        if not isinstance(tree, Mapping) or type(tree.get("pid")) is not int or tree["pid"] <= 1:
            return None
        return cls(tree["pid"], str(tree.get("started", "")))

    def tree(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"pid": self.pid, "started": self.started}

    @property
    def alive(self) -> bool:
        """Whether this very process runs; a dead one that nobody has buried yet does not."""
        if _PROCESSES.is_dir():
            return bool(self.started) and _started(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True

    def end(self, seconds: float) -> bool:
        """Ask it to end, and end it where it does not in time; returns whether it had to be made to.

        Nothing happens where it does not run.
        """
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10.0)):
            if not self.alive:
                return False
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            end = time.monotonic() + patience
            while self.alive and time.monotonic() < end:
                time.sleep(0.05)
        return True


def start_detached(
    command: Sequence[str], environment: Mapping[str, str], log: Path, ready: Callable[[], bool], *, seconds: float
) -> ProcessMark:
    """Start a process in a session of its own, and wait until it is ready.

    Args:
        command: what runs.
        environment: all of its.
        log: what it prints is added there.
        ready: asked again and again.
        seconds: after which the process is ended again.

    Raises:
        ProtocolError: it ended, or was not ready in time; says the last that it printed.
    """
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as printed:
        before = log.stat().st_size
        process = subprocess.Popen(
            list(command),
            env={**environment},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if ready():
            return ProcessMark.of(process.pid)
        time.sleep(0.1)
    if process.poll() is None:
        process.terminate()
        process.wait()
    last = log.read_bytes()[before:][-1500:].decode("utf-8", "replace").strip()
    raise ProtocolError("what was started did not come up", action=f"It printed last: {last}" if last else "")


@contextmanager
def told_to_end() -> Iterator[threading.Event]:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process as usual."""
    ended = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()
        for number in before:
            signal.signal(number, signal.SIG_DFL)

    for number in before:
        signal.signal(number, end)
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _started(pid: int) -> str:
    try:
        text = (_PROCESSES / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if len(fields) <= _STARTED_FIELD or fields[0] in "ZX" else fields[_STARTED_FIELD]
