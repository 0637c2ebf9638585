"""What a run had to do without: rows, content and private pieces that could not be used, counted and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedrec.console import Reporter
from fedrec.content.encoder import ContentWarning
from fedrec.data.inspect import skipped_by_reason
from fedrec.data.schema import Dataset

NAMED: Final = 20
_SAID: Final = 3


def left_out(dataset: Dataset, warnings: Sequence[ContentWarning], unreadable: Mapping[str, int]) -> dict[str, Any]:
    """For run.json: ``skipped`` rows or parts of rows, in all and by reason; what is wrong with the catalogue's
    content, in all and the first `NAMED`; and how many of the users' ``unreadable`` notes and photos are not used."""
    return {
        "skipped": len(dataset.skipped),
        "skipped_by_reason": skipped_by_reason(dataset),
        "content_problems": len(warnings),
        "content_problems_first": [_sentence(warning) for warning in warnings[:NAMED]],
        "unreadable_notes": unreadable.get("notes", 0),
        "unreadable_photos": unreadable.get("photos", 0),
    }


def say_skipped(dataset: Dataset, reporter: Reporter) -> None:
    """Tell how many rows were left out on reading, why, and where each of them is named."""
    if dataset.skipped:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in skipped_by_reason(dataset).items())
        reporter.stage(f"  left out {counted_rows(len(dataset.skipped))}: {reasons}")
        if dataset.directory is not None:
            reporter.stage(f"  `fedrec data inspect {dataset.directory}` says where")


def say_content(warnings: Sequence[ContentWarning], reporter: Reporter) -> None:
    """Tell which content of the catalogue cannot be used, the first few by name."""
    for warning in warnings[:_SAID]:
        reporter.stage(f"  {_sentence(warning)}")
    if (more := len(warnings) - _SAID) > 0:
        reporter.stage(f"  and {more:,} more such problems with content")


def say_fitted(sentences: Sequence[str], reporter: Reporter) -> None:
    """Tell in one line what was left out of the settings, since the data has none of it."""
    if sentences:
        reporter.stage(f"  settings fitted to the content: {'; '.join(sentences)}")


def say_unreadable(unreadable: Mapping[str, int], reporter: Reporter) -> None:
    """Tell how many of the users' notes and photos say nothing to the encoder; whose they are is not said."""
    for what, count in unreadable.items():
        if count:
            reporter.stage(f"  {count:,} of the users' {what} cannot be used")


def counted_rows(count: int) -> str:
    """``1 row or part of a row``, ``2 rows or parts of rows``."""
    return "1 row or part of a row" if count == 1 else f"{count:,} rows or parts of rows"


def _sentence(warning: ContentWarning) -> str:
    whose = f" of {warning.item}" if warning.item else ""
    return f"{warning.modality}{whose}: {warning.reason}"
