"""The processes under `fedrec server up`: started, watched, and started again where they end by themselves."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedrec.child_process import end_child, watched_environment
from fedrec.detached import ProcessMark

_log = logging.getLogger(__name__)
_LARGEST_LOG: Final = 20 << 20
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A process that has run for so long has come up; what ends it later is another matter.
_SETTLED_SECONDS: Final = 60.0


@dataclass
class KeptProcess:
    """One process that is to run.

    Args:
        name: for logs and status.
        command: what runs; it must end with its parent by itself (`fedrec.child_process.run_watched`).
        environment: all of its.
        log: what it prints is added there; one that has grown too long is set aside first.

    ``restarts``: how often it was started again.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _since: float = 0.0
    _again_at: float = 0.0
    _failures: int = field(default=0)

    def keep(self) -> bool:
        """Start it where it does not run and its pause is over; returns whether it runs."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                if now - self._since > _SETTLED_SECONDS:
                    self._failures = 0
                return True
            self._process = None
            pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
            self._failures, self._again_at = self._failures + 1, now + pause
            _log.warning("%s ended with %d and is started again in %g s", self.name, code, pause)
            self.restarts += 1
        if now < self._again_at:
            return False
        self._start()
        return True

    @property
    def mark(self) -> ProcessMark | None:
        """The process, where it runs."""
        return None if self._process is None or self._process.poll() is not None else ProcessMark.of(self._process.pid)

    def facts(self) -> dict[str, Any]:
        """For the state file."""
        mark = self.mark
        return {"process": None if mark is None else mark.tree(), "restarts": self.restarts}

    def end(self) -> None:
        """End it, and start it no more."""
        if self._process is not None:
            end_child(self._process)
            self._process = None

    def _start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as printed:
            self._process = subprocess.Popen(
                list(self.command),
                env=watched_environment(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        self._since = time.monotonic()
        _log.info("%s was started as process %d", self.name, self._process.pid)
