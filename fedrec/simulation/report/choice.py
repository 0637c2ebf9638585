"""What the devices chose, and why, in a table and a sentence: for the report and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedrec.console import figure, size
from fedrec.simulation.report.charts import finite, table

COLUMNS: Final = ("reading of the sums", "advantage, clipped NDCG@10 a user", "noise in it", "smoothed", "")


def choice_rows(run: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The candidates of a ``run.json``, the best first: name, noisy advantage, its noise, what is
    known of it, and a mark; or none."""
    found = table(run.get("selection"))
    rows = [one for one in found.get("candidates") or () if isinstance(one, Mapping)]
    ordered = sorted(rows, key=lambda one: -(finite(one.get("smoothed")) or 0.0))
    return [
        (
            str(one.get("name")),
            figure(finite(one.get("advantage")), 4),
            figure(finite(one.get("noise")), 4),
            figure(finite(one.get("smoothed")), 4),
            _mark(found, one.get("name")),
        )
        for one in ordered
    ]


def choice_words(run: Mapping[str, Any]) -> str | None:
    """What was chosen and why, and what a device got for it; None where nothing was to be chosen."""
    found = table(run.get("selection"))
    if not found:
        return None
    down = finite(found.get("bytes_down"))
    return (
        f"The devices chose {found.get('chosen')}: {found.get('reason')}. They were asked by one private sum that is "
        f"inside epsilon; each got {size(down)} to read the candidates with."
    )


def _mark(found: Mapping[str, Any], name: Any) -> str:
    marks = [word for word, key in (("chosen", "chosen"), ("default", "default")) if found.get(key) == name]
    return ", ".join(marks)
