"""A run as event files of TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrec.extras import need
from fedrec.simulation.tracking.figures import artifacts_of, measured, settings_of


def write_tensorboard(out: Path, record: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``out/tensorboard`` and return it: a curve a figure, settings and card as text.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        OSError: a file cannot be written.
    """
    need("tensorboard", "tracking", what="writing for TensorBoard")
    module: Any = need("torch.utils.tensorboard", "tracking", what="writing for TensorBoard")
    place = out / "tensorboard"
    with module.SummaryWriter(log_dir=str(place)) as writer:
        for one in measured(record, lines):
            writer.add_scalar(one.name, one.value, len(lines) if one.step is None else one.step)
        rows = "\n".join(f"| {key} | {value.replace('|', ' ')} |" for key, value in settings_of(record).items())
        writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")
        if about := record.get("about"):
            writer.add_text("about", str(about))
        for path in artifacts_of(out):
            if path.suffix == ".md":
                writer.add_text("card", path.read_text(encoding="utf-8"))
    return place
