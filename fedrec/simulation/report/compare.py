"""Runs side by side: the settings that differ, quality with intervals, both epsilons, bytes and seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from fedrec.console import DASH, figure, size
from fedrec.html.templates import environment, style_sheet
from fedrec.privacy.simulated import KEY
from fedrec.run_values import dotted, finite, table
from fedrec.simulation.report import page
from fedrec.simulators_view import simulators_view

NORMAL: Final = 1.959964
"""Standard errors on either side of a mean that make a 95% interval."""
_PROTOCOLS: Final = {"loo-99neg": "against 99 others", "loo-full": "against all items"}
_METRICS: Final = {"hr@10": "HR@10", "ndcg@10": "NDCG@10"}
_BARS: Final = "loo-99neg"
# A dash is said too: that there is no promise.
_ALWAYS: Final = ("epsilon, released model", "epsilon, server")


@dataclass(frozen=True)
class ComparisonLine:
    """A line of the comparison: what it says, and its cell of each run."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class IntervalBar:
    """A run's figure with its 95% interval, as parts of the way from 0 to 1."""

    run: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. ``sections``: a heading with its lines; ``bars``: a metric with each run that has it;
    ``warnings``: a run's name and what it was warned of; ``about``: what simulations among them protect."""

    runs: tuple[str, ...]
    about: tuple[str, ...]
    warnings: tuple[tuple[str, str], ...]
    sections: tuple[tuple[str, tuple[ComparisonLine, ...]], ...]
    bars: tuple[tuple[str, tuple[IntervalBar, ...]], ...]


def compare(records: Mapping[str, Mapping[str, Any]]) -> Comparison:
    """Compare runs. ``records``: a name of each and the content of its ``run.json``; what one lacks is a dash."""
    runs = list(records.values())
    sections = (
        ("Quality", tuple(_quality(runs))),
        ("Privacy", tuple(_rows(runs, _PRIVACY))),
        ("Cost", tuple(_rows(runs, _COST))),
        ("Data", tuple(_rows(runs, _DATA))),
        ("Settings that differ", tuple(_settings(runs))),
    )
    warned = [(name, str(said)) for name, record in records.items() for said in record.get("warnings") or ()]
    bars = [(metric, tuple(_bars(records, metric))) for metric in _METRICS]
    return Comparison(
        runs=tuple(records),
        about=tuple(dict.fromkeys(str(run[KEY]) for run in runs if run.get(KEY))),
        warnings=tuple(warned),
        sections=tuple((title, rows) for title, rows in sections if rows),
        bars=tuple((_METRICS[metric], found) for metric, found in bars if found),
    )


def write_comparison(path: Path, found: Comparison) -> Path:
    """Write the comparison as one self-contained page, without a script, and return its path.

    Raises:
        OSError: the file cannot be written.
    """
    text = (
        environment()
        .from_string(page.resource("compare.html.j2"))
        .render(
            policy=page.policy(),
            style=Markup(style_sheet()),
            exact=simulators_view("Quality on this page"),
            found=found,
            figure=figure,
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return path


Shown = Callable[[Mapping[str, Any]], str]


def _value(section: str, key: str, digits: int = 2) -> Shown:
    def shown(run: Mapping[str, Any]) -> str:
        value = table(run.get(section)).get(key)
        number = finite(value)
        if number is None:
            return DASH if value is None else str(value)
        return figure(value, digits)

    return shown


def _bytes(key: str) -> Shown:
    return lambda run: size(finite(table(run.get("secure_aggregation")).get(key)))


_PRIVACY: Final[Mapping[str, Shown]] = {
    "epsilon, released model": _value("privacy", "epsilon_released"),
    "epsilon, server": _value("privacy", "epsilon_server"),
    "delta": lambda run: _small(finite(table(run.get("privacy")).get("delta"))),
    "unit": _value("privacy", "unit"),
    "noise multiplier": _value("privacy", "noise_multiplier", 3),
    "noise added by": _value("privacy", "noise_place"),
    "secure aggregation": _value("secure_aggregation", "protocol"),
}
_COST: Final[Mapping[str, Shown]] = {
    "seconds": _value("cost", "seconds", 1),
    "rounds of training": _value("cost", "rounds"),
    "sent by a device, a round": _bytes("bytes_up_per_device_round"),
    "sent by a device, in all": _bytes("bytes_up_per_device_total"),
    "received by a device, in all": _bytes("bytes_down_per_device_total"),
    "memory, MB": _value("cost", "peak_rss_mb", 0),
}
_DATA: Final[Mapping[str, Shown]] = {
    "data": _value("data", "name"),
    "users": _value("data", "users"),
    "items": _value("data", "items"),
    "interactions": _value("data", "interactions"),
}


def _rows(runs: Sequence[Mapping[str, Any]], shown: Mapping[str, Shown]) -> Iterator[ComparisonLine]:
    for name, show in shown.items():
        cells = tuple(show(run) for run in runs)
        if name in _ALWAYS or any(cell != DASH for cell in cells):
            yield ComparisonLine(name, cells)


def _quality(runs: Sequence[Mapping[str, Any]]) -> Iterator[ComparisonLine]:
    for protocol, against in _PROTOCOLS.items():
        for metric, name in _METRICS.items():
            cells = tuple(_with_interval(run, protocol, metric) for run in runs)
            if any(cell != DASH for cell in cells):
                yield ComparisonLine(f"{name}, {against}", cells)
    yield from _rows(runs, {"coverage@10": _value("quality", "coverage@10", 3)})


def _with_interval(run: Mapping[str, Any], protocol: str, metric: str) -> str:
    found = _interval(run, protocol, metric)
    if found is None:
        return DASH
    value, low, high = found
    return figure(value) if low == high else f"{figure(value)} ({figure(low)} to {figure(high)})"


def _interval(run: Mapping[str, Any], protocol: str, metric: str) -> tuple[float, float, float] | None:
    """A figure and its 95% interval over users, by their standard error; the figure twice where none was taken."""
    measured = table(table(run.get("quality")).get(protocol))
    value = finite(measured.get(metric))
    if value is None:
        return None
    aside = NORMAL * (finite(measured.get(f"{metric}-error")) or 0.0)
    return value, max(0.0, value - aside), min(1.0, value + aside)


def _bars(records: Mapping[str, Mapping[str, Any]], metric: str) -> Iterator[IntervalBar]:
    for name, record in records.items():
        if (found := _interval(record, _BARS, metric)) is not None:
            yield IntervalBar(name, *found)


def _settings(runs: Sequence[Mapping[str, Any]]) -> Iterator[ComparisonLine]:
    flat = [dict(dotted(table(run.get("config")))) for run in runs]
    for key in dict.fromkeys(key for one in flat for key in one):
        cells = tuple(one.get(key, DASH) for one in flat)
        if len(set(cells)) > 1:
            yield ComparisonLine(key, cells)


def _small(value: float | None) -> str:
    return DASH if value is None else f"{value:.2g}"
