"""Write a finished run for the tools that were asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.extras import is_installed, missing
from fedrec.simulation.tracking.to_mlflow import write_mlflow
from fedrec.simulation.tracking.to_tensorboard import write_tensorboard

EXTRA: Final = "tracking"
STORE: Final = "MLFLOW_TRACKING_URI"
_MODULES: Final[Mapping[str, str]] = {"tensorboard": "tensorboard", "mlflow": "mlflow"}


def check_tools(tools: Sequence[str]) -> None:
    """Raise MissingExtraError where a tool is not installed: before a run, which may be long, not after it."""
    for tool in tools:
        if not is_installed(_MODULES[tool]):
            raise missing(EXTRA, f"no module named {_MODULES[tool]!r}", what=f"writing for {tool}")


def write_tracking(tools: Sequence[str], out: Path, record: Mapping[str, Any]) -> dict[str, str]:
    """Write the run in ``out`` for each tool, and say where each one is.

    MLflow's store is a file in ``out`` unless the environment names another by ``MLFLOW_TRACKING_URI``.

    Raises:
        MissingExtraError: a tool is not installed.
        OSError: a file cannot be read or written.
    """
    events = out / "events.jsonl"
    text = events.read_text(encoding="utf-8") if events.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    written = {}
    for tool in dict.fromkeys(tools):
        if tool == "tensorboard":
            written[tool] = str(write_tensorboard(out, record, lines))
        else:
            written[tool] = write_mlflow(out, record, lines, store=os.environ.get(STORE) or None)
    return written
