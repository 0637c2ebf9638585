"""Runs side by side: figures of each, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedrec.console import DASH, figure, size
from fedrec.pages import run_view
from fedrec.pages.run_files import RunFiles
from fedrec.run_values import finite, table


@dataclass(frozen=True)
class ComparedRow:
    """A figure or setting of each run. ``best``: places of the best ones, where one can be better than another."""

    name: str
    values: tuple[str, ...]
    best: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ComparedGroup:
    """Rows under one heading."""

    heading: str
    rows: tuple[ComparedRow, ...]


def compared(runs: Sequence[RunFiles]) -> list[ComparedGroup]:
    """Quality, privacy and cost of runs, and the settings that are not the same in all of them."""
    sent = [sum(finite(line.get("bytes_up_per_device")) or 0.0 for line in run.lines) or None for run in runs]
    seconds = [finite(table(run.record.get("cost")).get("seconds")) for run in runs]
    epsilons = [run_view.epsilon_of(run) for run in runs]
    quality = [
        _row(name, [run_view.quality_of(run, name.lower()) for run in runs], highest=True)
        for name in ("NDCG@10", "HR@10")
    ]
    privacy = [
        _row("epsilon, released model", [one[0] for one in epsilons], digits=2, highest=False),
        _row("epsilon, server", [one[1] for one in epsilons], digits=2, highest=False),
        _row("budget", [one[2] for one in epsilons], digits=2),
    ]
    cost = [
        ComparedRow("sums", tuple(figure(len(run.lines)) for run in runs)),
        ComparedRow("sent by a device", tuple(map(size, sent)), _best(sent, highest=False)),
        _row("seconds", seconds, digits=1, highest=False),
    ]
    groups = [
        ComparedGroup("Quality", tuple(quality)),
        ComparedGroup("Privacy", tuple(privacy)),
        ComparedGroup("Cost", tuple(cost)),
    ]
    if differing := _settings(runs):
        groups.append(ComparedGroup("Settings that differ", tuple(differing)))
    return groups


def _settings(runs: Sequence[RunFiles]) -> list[ComparedRow]:
    settings = [run_view.settings_of(run) for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    rows = [ComparedRow(name, tuple(one.get(name, DASH) for one in settings)) for name in names]
    return [row for row in rows if len(set(row.values)) > 1]


def _row(name: str, values: Sequence[float | None], *, digits: int = 3, highest: bool | None = None) -> ComparedRow:
    best = frozenset[int]() if highest is None else _best(values, highest=highest)
    return ComparedRow(name, tuple(figure(value, digits) for value in values), best)


def _best(values: Sequence[float | None], *, highest: bool) -> frozenset[int]:
    """Places of the best value; none where all are alike, or one alone has any."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(set(known)) < 2:
        return frozenset()
    best = max(known) if highest else min(known)
    return frozenset(place for place, value in enumerate(values) if value == best)
