"""Bring the run of the newest manifest to its end: start it, look after it, start it again where it was cut off.

A run is one directory; what was paid for is in it, so a run that is started again goes on (`fedrec.server.federate`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedrec.detached import ProcessMark
from fedrec.errors import ProtocolError
from fedrec.queries.run_manifest import RunManifest
from fedrec.server.operation.control import ControlApi, FlowerRun
from fedrec.server.operation.newest import newest_manifest
from fedrec.server.operation.server_directory import ServerDirectory
from fedrec.server.operation.status import events_of
from fedrec.server.run_files import RECORD
from fedrec.server.run_marks import failure_of, running_process

_log = logging.getLogger(__name__)
ATTEMPTS: Final = 5
"""How often in a row a run is started again that opens no further sum."""
_PAUSES: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
_END_SECONDS: Final = 10.0
# A run whose process is gone is one that was cut off; Flower itself finds that out after a minute or two.
_GONE_SECONDS: Final = 5.0
# Between two questions to the SuperLink, which has devices to answer. Where the run's process is gone, it is asked now.
_LOOK_SECONDS: Final = 5.0
_OVER: Final = ("finished", "stopped")


@dataclass(frozen=True)
class RunOptions:
    """``devices``: wait for so many (0: all of the roster), ``wait`` seconds at most.  ``patience``, ``grace``: see
    `fedrec.server.app`."""

    devices: int = 0
    wait: float = 600.0
    patience: float = 120.0
    grace: float = 2.0


@dataclass
class RunKeeper:
    """What is made of the newest manifest.

    ``phase``: "waiting" (no manifest, or too few devices on its roster), "running", "paused" before another attempt,
    "finished", or "stopped" for good, until `fedrec server up` is started again or another manifest comes.
    ``said``: the same in words.
    """

    server: ServerDirectory
    options: RunOptions
    phase: str = "waiting"
    said: str = "no device is enrolled yet"
    counter: int = 0
    attempts: int = 0
    flower_run: int = 0
    _process: ProcessMark | None = None
    _started: float = 0.0
    _seen: float = 0.0
    _again_at: float = 0.0
    _look_at: float = 0.0
    _lines: int = 0
    _read: tuple[int, int] = (0, 0)
    _manifest: RunManifest | None = field(default=None, repr=False)

    def step(self, control: ControlApi) -> None:
        """Do what is to be done now. Raises ProtocolError where the SuperLink does not answer."""
        manifest = self._newest()
        if manifest is None:
            return
        if manifest.counter != self.counter:
            self._turn_to(manifest, control)
        if self.phase in _OVER:
            return
        if (self._out / RECORD).is_file() and self.phase != "running":
            self._finish()
        elif self.phase == "running":
            self._look(control)
        elif time.monotonic() >= self._again_at:
            self._start(control, manifest)

    def end(self, control: ControlApi | None) -> str:
        """End what runs, so that nothing works in the run's directory any more; says what was left in the middle."""
        if self.phase != "running":
            return ""
        if control is not None and self.flower_run:
            try:
                control.stop_run(self.flower_run)
            except ProtocolError as error:
                _log.warning("%s", error)
        mark = running_process(self._out)
        if mark is not None:
            mark.end(_END_SECONDS)
        return f"run {self.counter} was under way after {self._count()} sums; the next fedrec server up goes on with it"

    def facts(self) -> dict[str, Any]:
        """For the state file."""
        return {
            "phase": self.phase,
            "said": self.said,
            "counter": self.counter,
            "attempts": self.attempts,
            "flower_run": self.flower_run,
            "sums": self._count() if self.counter else 0,
        }

    @property
    def _out(self) -> Path:
        return self.server.run(self.counter)

    def _newest(self) -> RunManifest | None:
        try:
            found = self.server.manifest.stat()
        except OSError:
            return None
        if self._read != (found.st_mtime_ns, found.st_ino):
            self._manifest = newest_manifest(self.server)
            self._read = found.st_mtime_ns, found.st_ino
        return self._manifest

    def _turn_to(self, manifest: RunManifest, control: ControlApi) -> None:
        if left := self.end(control):
            _log.warning("%s: replaced by manifest %d", left, manifest.counter)
        elif not self.counter:
            self._end_before(control)
        self.counter, self.attempts, self._again_at = manifest.counter, 0, 0.0
        self.phase, self.said = (
            "waiting",
            f"manifest {manifest.counter} was signed for {manifest.roster.devices} devices",
        )
        self._lines = self._count()

    def _end_before(self, control: ControlApi) -> None:
        """End what an earlier `fedrec server up` left: nobody looks after it any more."""
        for run in control.runs().values():
            if not run.over:
                control.stop_run(run.id)
        for out in self.server.runs.iterdir() if self.server.runs.is_dir() else ():
            if (mark := running_process(out)) is not None:
                mark.end(_END_SECONDS)

    def _start(self, control: ControlApi, manifest: RunManifest) -> None:
        least = manifest.config.secure_aggregation
        if least.protocol != "none" and manifest.roster.devices < least.minimum_cohort:
            missing = least.minimum_cohort - manifest.roster.devices
            self.phase, self.said = "waiting", f"{missing} more devices must be enrolled before a sum is masked"
            self._again_at = time.monotonic() + 5.0
            return
        if running_process(self._out) is not None:
            return  # of an attempt that is just ending
        kept_manifest, kept_roster = self.server.run_files(self.counter)
        self.flower_run = control.start_run(
            {
                "manifest": str(kept_manifest),
                "roster": str(kept_roster),
                "catalogue": str(self.server.catalogue),
                "out": str(self._out),
                "devices": self.options.devices or manifest.roster.devices,
                "wait": round(self.options.wait),
                "patience": round(self.options.patience),
                "grace": self.options.grace,
            }
        )
        self.attempts += 1
        self._started = self._seen = time.monotonic()
        self._process = None
        goes_on = f", and goes on after {done} sums" if (done := self._count()) else ""
        self.phase, self.said = "running", f"run {self.counter} was started{goes_on}"
        _log.info("%s", self.said)

    def _look(self, control: ControlApi) -> None:
        now = time.monotonic()
        mark = running_process(self._out)
        if mark is not None:
            self._process, self._seen = mark, now
        if (lines := self._count()) > self._lines:
            self._lines, self.attempts = lines, 1
        gone = mark is None and self._process is not None
        if now < self._look_at and not gone:
            return
        self._look_at = now + _LOOK_SECONDS
        run = control.runs().get(self.flower_run)
        if run is None:
            self._cut_off("the SuperLink has forgotten it")
        elif run.over:
            self._judge(run)
        elif gone and now - self._seen > _GONE_SECONDS:
            control.stop_run(self.flower_run)
            self._cut_off("its process is gone")

    def _judge(self, run: FlowerRun) -> None:
        if (self._out / RECORD).is_file() and run.completed:
            self._finish()
            return
        failure = failure_of(self._out)
        self._cut_off(f"[{failure['code']}] {failure['what']}. {failure['action']}" if failure else run.details)

    def _cut_off(self, why: str) -> None:
        if self.attempts >= ATTEMPTS:
            self.phase, self.said = "stopped", f"run {self.counter} ended {self.attempts} times: {why}"
            _log.error("%s", self.said)
            return
        pause = _PAUSES[min(self.attempts, len(_PAUSES)) - 1]
        self.phase, self.said = "paused", f"run {self.counter} was cut off: {why or 'no reason was given'}"
        self._again_at = time.monotonic() + pause
        _log.warning("%s; it is started again in %g s", self.said, pause)

    def _finish(self) -> None:
        self.phase, self.said = "finished", f"run {self.counter} is finished"
        _log.info("%s", self.said)

    def _count(self) -> int:
        """How many sums were opened; one that failed is a line, too, and no step forward."""
        return sum(bool(one.get("devices")) for one in events_of(self._out))
