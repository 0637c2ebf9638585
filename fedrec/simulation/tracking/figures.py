"""The figures and settings of a run, as tools for tracking take them: named series, and names with values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedrec.run_values import finite, table

_OF_A_LINE: Final = {
    "training/loss": "loss",
    "privacy/epsilon_spent": "epsilon_spent",
    "cost/bytes_up_per_device": "bytes_up_per_device",
    "cost/seconds": "seconds",
}
_PRIVACY: Final = ("epsilon_released", "epsilon_server", "delta", "noise_multiplier")
_COST: Final = ("seconds", "rounds", "peak_rss_mb")
_ARTIFACTS: Final = ("run.json", "report.html", "model/MODEL_CARD.md")


@dataclass(frozen=True)
class TrackedFigure:
    """One number. ``step``: the place of its request in the run, from 1; None = it is of the whole run."""

    name: str
    value: float
    step: int | None = None


def of_line(line: Mapping[str, Any], step: int) -> Iterator[TrackedFigure]:
    """The finite numbers of one line of ``events.jsonl``, the ``step``-th from 1; what does not apply is left out."""
    for name, key in _OF_A_LINE.items():
        if (value := finite(line.get(key))) is not None:
            yield TrackedFigure(name, value, step)
    yield from _quality(table(line.get("quality")), "quality", step)


def of_record(record: Mapping[str, Any]) -> Iterator[TrackedFigure]:
    """The finite numbers of ``run.json`` that are of the whole run."""
    yield from _quality(table(record.get("quality")), "final", None)
    for section, keys in (("privacy", _PRIVACY), ("cost", _COST)):
        for key in keys:
            if (value := finite(table(record.get(section)).get(key))) is not None:
                yield TrackedFigure(f"final/{key}", value)


def settings_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Every setting by its dotted name, as text."""
    return dict(_leaves(table(record.get("config"))))


def artifacts_of(out: Path) -> list[Path]:
    """What there is of the record, the report and the card of a run's directory."""
    return [out / name for name in _ARTIFACTS if (out / name).is_file()]


def name_of(record: Mapping[str, Any]) -> str:
    """What the run is called."""
    return str(table(table(record.get("config")).get("run")).get("name") or "run")


def _quality(quality: Mapping[str, Any], prefix: str, step: int | None) -> Iterator[TrackedFigure]:
    for protocol in ("loo-99neg", "loo-full"):
        for metric in ("hr@10", "ndcg@10"):
            if (value := finite(table(quality.get(protocol)).get(metric))) is not None:
                # MLflow knows no @ in a name.
                yield TrackedFigure(f"{prefix}/{protocol}/{metric.replace('@', '_at_')}", value, step)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "" if value is None else str(value)
