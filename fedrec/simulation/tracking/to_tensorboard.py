"""A run as event files of TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrec.extras import need
from fedrec.simulation.tracking.figures import artifacts_of, of_line, of_record, settings_of


class TensorboardRun:
    """``out/tensorboard``: a curve a figure, which grows while the run goes on; settings and card as text at its end.

    What an earlier process wrote of the same run is superseded: every line is written again.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        OSError: a file cannot be written; so do the methods.
    """

    def __init__(self, out: Path) -> None:
        need("tensorboard", "tracking", what="writing for TensorBoard")
        module: Any = need("torch.utils.tensorboard", "tracking", what="writing for TensorBoard")
        self.place = str(out / "tensorboard")
        self._out = out
        self._written = 0
        # Readers drop what other files of the directory say from this step on.
        self._writer = module.SummaryWriter(log_dir=self.place, purge_step=1)

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write those of all ``lines`` of the run so far that were not written yet."""
        for step, line in enumerate(lines[self._written :], start=self._written + 1):
            for one in of_line(line, step):
                self._writer.add_scalar(one.name, one.value, step)
        self._written = len(lines)
        self._writer.flush()

    def finish(self, record: Mapping[str, Any]) -> None:
        """Write what is of the whole run, and close the file."""
        for one in of_record(record):
            self._writer.add_scalar(one.name, one.value, self._written)
        rows = "\n".join(f"| {key} | {value.replace('|', ' ')} |" for key, value in settings_of(record).items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", self._written)
        if about := record.get("about"):
            self._writer.add_text("about", str(about), self._written)
        for path in artifacts_of(self._out):
            if path.suffix == ".md":
                self._writer.add_text("card", path.read_text(encoding="utf-8"), self._written)
        self._writer.close()

    def abandon(self) -> None:
        """Close the file of a run that did not come to its end; what was written stays."""
        self._writer.close()
