"""Write a run for the tools that were asked for while it goes on, and what it came to at its end."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from fedrec.console import Reporter
from fedrec.extras import is_installed, missing
from fedrec.simulation.tracking.to_mlflow import MlflowRun
from fedrec.simulation.tracking.to_tensorboard import TensorboardRun

EXTRA: Final = "tracking"
STORE: Final = "MLFLOW_TRACKING_URI"

_log = logging.getLogger(__name__)


class TrackedRun(Protocol):
    """A run in one tool: all lines so far as often as there are new ones, then its end, or that there was none."""

    place: str

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of ``events.jsonl`` that were not written yet."""

    def finish(self, record: Mapping[str, Any]) -> None:
        """Write what is of the whole run, ``run.json``."""

    def abandon(self) -> None:
        """Close a run that did not come to its end."""


class Tracking:
    """A `Reporter` that also writes each line of a run in ``out`` for tools, and is silent otherwise about them.

    A tool that fails in the middle of a run, such as a server that went away, spoils nothing: it is left alone until
    the end, and then given the whole run.

    Args:
        inner: who is told what the run says.
        tools: ``tensorboard``, ``mlflow``.

    Raises:
        MissingExtraError: a tool is not installed: before a run, which may be long, not after it.
    """

    def __init__(self, inner: Reporter, tools: Sequence[str], out: Path) -> None:
        for tool in tools:
            if not is_installed(tool):
                raise missing(EXTRA, f"no module named {tool!r}", what=f"writing for {tool}")
        self._inner = inner
        self._tools = tuple(dict.fromkeys(tools))
        self._out = out
        self._runs: dict[str, TrackedRun] = {}
        self._failed: set[str] = set()

    def stage(self, text: str) -> None:
        """Pass it on."""
        self._inner.stage(text)

    def progress(self, done: int, total: int, what: str) -> None:
        """Pass it on."""
        self._inner.progress(done, total, what)

    def round(self, record: Mapping[str, Any]) -> None:
        """Pass it on, and write the run's lines so far."""
        self._inner.round(record)
        lines = _lines(self._out)
        for tool in self._tools:
            if tool in self._failed:
                continue
            try:
                self._run(tool).write(lines)
            except Exception as error:  # whatever a tool of somebody else raises
                _log.warning("%s cannot be written to now: %s", tool, error)
                self._failed.add(tool)
                self._abandon(tool)

    def finish(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Write the end of the run, and say where it is in each tool.

        Raises:
            OSError: a file cannot be read or written. What a tool raises is raised as it is.
        """
        written = {}
        for tool in self._tools:
            run = self._run(tool)
            run.write(_lines(self._out))
            run.finish(record)
            written[tool] = self._runs.pop(tool).place
        return written

    def abandon(self) -> None:
        """Close what is open of a run that failed."""
        for tool in tuple(self._runs):
            self._abandon(tool)

    def _run(self, tool: str) -> TrackedRun:
        if tool not in self._runs:
            self._runs[tool] = (
                TensorboardRun(self._out)
                if tool == "tensorboard"
                else MlflowRun(self._out, store=os.environ.get(STORE) or None)
            )
        return self._runs[tool]

    def _abandon(self, tool: str) -> None:
        with suppress(Exception):
            self._runs.pop(tool).abandon()


@contextmanager
def tracking(inner: Reporter, tools: Sequence[str], out: Path) -> Iterator[Tracking]:
    """A `Tracking` that is closed where the run fails. Raises MissingExtraError as it does."""
    live = Tracking(inner, tools, out)
    try:
        yield live
    finally:
        live.abandon()


def _lines(out: Path) -> list[dict[str, Any]]:
    events = out / "events.jsonl"
    text = events.read_text(encoding="utf-8") if events.exists() else ""
    return [json.loads(line) for line in text.splitlines()]
