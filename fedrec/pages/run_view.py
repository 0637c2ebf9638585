"""What an operator is shown of a run: warnings first, then figures, charts, rounds and what its sums said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fedrec.console import figure, size
from fedrec.pages.chart import DrawnChart, draw
from fedrec.pages.run_files import FoundRun, RunFiles
from fedrec.privacy.simulated import KEY as ABOUT
from fedrec.run_values import dotted, finite, leaves, table
from fedrec.run_words import promises
from fedrec.server.aggregation_failed import AGGREGATION_FAILED

MOST_ROUNDS: Final = 300
MOST_LEAVES: Final = 24
_MOST_MARKS: Final = 120


@dataclass(frozen=True)
class FigureTile:
    """A figure to be seen at a glance. ``share``: 0 to 1 of what it may be, drawn as a bar; None without one."""

    name: str
    value: str
    note: str
    share: float | None = None


@dataclass(frozen=True)
class RoundRow:
    """One sum, as a row of a table; ``bad``: it failed, or devices are left out for what they did."""

    number: int
    query: str
    round: str
    asked: str
    survivors: str
    aborted: str
    excluded: str
    sent: str
    epsilon: str
    quality: str
    seconds: str
    bad: bool


@dataclass(frozen=True)
class FoundValues:
    """What a query's sum said. ``rows``: name, figure, and a share of the largest where they are counts."""

    query: str
    note: str
    rows: tuple[tuple[str, str, float | None], ...]
    more: int


def epsilon_of(files: RunFiles) -> tuple[float | None, float | None, float | None]:
    """(of the released model, against the server, the budget); of a run that goes on the first is what is spent."""
    privacy = table(files.record.get("privacy"))
    released = finite(privacy.get("epsilon_released")) if files.record else _last(files.lines, "epsilon_spent")
    budget = finite(files.budget.get("epsilon"))
    if budget is None:
        budget = finite(table(table(files.record.get("config")).get("privacy")).get("epsilon"))
    return released, finite(privacy.get("epsilon_server")), budget


def quality_of(files: RunFiles, metric: str) -> float | None:
    """A metric of ``loo-99neg``, at the end or of the last round that has it; else of the private sum ``metrics``."""
    own = finite(table(table(files.record.get("quality")).get("loo-99neg")).get(metric))
    if own is not None:
        return own
    measured = [value for line in files.lines if (value := _line_quality(line, metric)) is not None]
    if measured:
        return measured[-1]
    return finite(table(table(files.record.get("queries")).get("metrics")).get(metric))


def warnings_of(files: RunFiles) -> list[str]:
    """What must be known before any figure is read, the gravest first."""
    record, said = files.record, []
    if record.get(ABOUT):
        said.append(str(record[ABOUT]))
    if record.get("stopped"):
        said.append(f"The run ended early: {record['stopped']}")
    if files.state == "silent":
        said.append("The run has not ended, and nothing was written for ten minutes: start it again with the same out")
    if failed := sum(line.get("reason") == AGGREGATION_FAILED for line in files.lines):
        said.append(f"{_count(failed, 'sum')} could not be opened: every attempt at it failed")
    for reason, count in _excluded(files).items():
        said.append(f"{_count(count, 'device')} left out of the run: {reason}")
    if files.unreadable:
        said.append(f"{_count(files.unreadable, 'line')} of events.jsonl cannot be read")
    return [*said, *(str(one) for one in record.get("warnings") or ())]


def tiles_of(files: RunFiles) -> list[FigureTile]:
    """The figures at the top of a run's page."""
    released, server, budget = epsilon_of(files)
    privacy = table(files.record.get("privacy"))
    last: Mapping[str, Any] = next(
        (line for line in reversed(files.lines) if line.get("reason") != AGGREGATION_FAILED), {}
    )
    asked, kept = finite(last.get("asked")), finite(last.get("devices"))
    sent = sum(finite(line.get("bytes_up_per_device")) or 0.0 for line in files.lines)
    excluded = sum(_excluded(files).values())
    return [
        FigureTile(
            "Epsilon, released model" if files.record else "Epsilon spent so far",
            figure(released, 2),
            _of_budget(released, budget),
            None if released is None or not budget else min(1.0, released / budget),
        ),
        FigureTile(
            "Epsilon, server",
            figure(server, 2),
            _server_note(privacy, bool(files.record)),
            None if server is None or not budget else min(1.0, server / budget),
        ),
        FigureTile(
            "Survivors, last sum", figure(None if kept is None else int(kept)), f"of {figure(_whole(asked))} asked"
        ),
        FigureTile("Left out for what they did", figure(excluded), "blamed devices"),
        FigureTile("Sent by a device", size(sent if files.lines else None), "all sums so far"),
        FigureTile("NDCG@10", figure(quality_of(files, "ndcg@10")), "against 99 others"),
        FigureTile("HR@10", figure(quality_of(files, "hr@10")), "against 99 others"),
        FigureTile("Sums", figure(len(files.lines)), _seconds(files)),
    ]


def charts_of(files: RunFiles) -> list[DrawnChart]:
    """Privacy spent, survivors, quality and bytes, by sum; those without a figure are left out."""
    lines = _thinned(files.lines)
    budget = epsilon_of(files)[2]
    level = None if budget is None else (budget, f"budget {budget:g}")
    drawn = [
        draw("epsilon", "Privacy spent, epsilon", _values(lines, "epsilon_spent", 2), level=level),
        draw("survivors", "Devices in the sum", _values(lines, "devices", 0), bars=True),
        draw("ndcg", "NDCG@10 against 99 others", _quality_values(files.lines)),
        draw("bytes", "Sent by one device, bytes", _values(lines, "bytes_up_per_device", 0), bars=True),
    ]
    return [chart for chart in drawn if chart is not None]


def rows_of(files: RunFiles) -> list[RoundRow]:
    """The sums, the last first; at most `MOST_ROUNDS`."""
    numbered = list(enumerate(files.lines, start=1))[-MOST_ROUNDS:]
    return [_row(number, line) for number, line in reversed(numbered)]


def found_of(files: RunFiles) -> list[FoundValues]:
    """What each query found, whatever queries a run has; a census as counts with the noise in them."""
    found = []
    for name, result in table(files.record.get("queries")).items():
        users = table(table(result).get("users"))
        counts = [(str(key), value) for key, one in users.items() if (value := finite(one)) is not None]
        if counts:
            found.append(_counted(str(name), counts, finite(table(result).get("deviation"))))
            continue
        rows = [(key, figure(value), None) for key, value in leaves(result)]
        found.append(FoundValues(str(name), "", tuple(rows[:MOST_LEAVES]), max(0, len(rows) - MOST_LEAVES)))
    return found


def promises_of(files: RunFiles) -> list[tuple[str, str]]:
    """What the run promises, in words; nothing before it has ended."""
    return promises(files.record) if files.record else []


def settings_of(files: RunFiles) -> dict[str, str]:
    """Dotted names of the settings, and their values as text."""
    return dict(dotted(table(files.record.get("config"))))


def facts_of(files: RunFiles) -> dict[str, str]:
    """The same of data, model, secure aggregation and cost."""
    return dict(dotted({key: files.record.get(key) for key in ("data", "model", "secure_aggregation", "cost")}))


def summary_of(run: FoundRun, files: RunFiles) -> dict[str, Any]:
    """A run's line in the list."""
    released, server, budget = epsilon_of(files)
    return {
        "id": run.id,
        "name": run.name,
        "title": str(table(table(files.record.get("config")).get("run")).get("name") or ""),
        "state": files.state,
        "changed": files.changed,
        "sums": len(files.lines),
        "epsilon": figure(released, 2),
        "server": figure(server, 2),
        "budget": figure(budget, 2),
        "ndcg": figure(quality_of(files, "ndcg@10")),
        "warnings": len(warnings_of(files)),
    }


def _row(number: int, line: Mapping[str, Any]) -> RoundRow:
    aborted, excluded = _counts(line.get("aborted")), _counts(line.get("excluded"))
    failed = line.get("reason") == AGGREGATION_FAILED
    return RoundRow(
        number=number,
        query=str(line.get("query")),
        round=figure(_whole(line.get("round"))),
        asked=figure(_whole(line.get("asked"))),
        survivors="failed" if failed else figure(_whole(line.get("devices"))),
        aborted=aborted,
        excluded=excluded,
        sent=size(finite(line.get("bytes_up_per_device"))),
        epsilon=figure(finite(line.get("epsilon_spent")), 2),
        quality=figure(_line_quality(line, "ndcg@10")),
        seconds=figure(finite(line.get("seconds")), 2),
        bad=failed or bool(aborted or excluded),
    )


def _counted(name: str, counts: Sequence[tuple[str, float]], deviation: float | None) -> FoundValues:
    ordered = sorted(counts, key=lambda pair: -pair[1])
    highest = max(ordered[0][1], 1e-9)
    rows = tuple((key, figure(value, 0), max(0.0, value / highest)) for key, value in ordered[:MOST_LEAVES])
    note = "" if deviation is None else f"Users with each value; the noise in each is about {deviation:,.0f}."
    return FoundValues(name, note, rows, max(0, len(ordered) - MOST_LEAVES))


def _excluded(files: RunFiles) -> dict[str, int]:
    """Devices that the run leaves out now, by reason."""
    last = table(files.lines[-1].get("excluded")) if files.lines else {}
    return {str(reason): count for reason, count in last.items() if isinstance(count, int) and count}


def _counts(value: Any) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in table(value).items() if count)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _of_budget(spent: float | None, budget: float | None) -> str:
    if spent is None:
        return "no noise, no promise"
    return f"of {budget:,.2f}" if budget is not None else "smaller is stricter"


def _server_note(privacy: Mapping[str, Any], ended: bool) -> str:
    if not ended:
        return "said at the end"
    if finite(privacy.get("epsilon_server")) is not None:
        return "what the server could learn"
    return str(privacy.get("epsilon_server_reason") or "no promise in numbers")


def _seconds(files: RunFiles) -> str:
    whole = finite(table(files.record.get("cost")).get("seconds"))
    spent = sum(finite(line.get("seconds")) or 0.0 for line in files.lines)
    return f"{whole if whole is not None else spent:,.1f} s{'' if whole is not None else ' so far'}"


def _whole(value: Any) -> int | None:
    found = finite(value)
    return None if found is None else int(found)


def _last(lines: Sequence[Mapping[str, Any]], key: str) -> float | None:
    return next((value for line in reversed(lines) if (value := finite(line.get(key))) is not None), None)


def _line_quality(line: Mapping[str, Any], metric: str) -> float | None:
    return finite(table(table(line.get("quality")).get("loo-99neg")).get(metric))


def _label(line: Mapping[str, Any]) -> str:
    return f"{line.get('query')}, round {line.get('round')}"


def _values(lines: Sequence[Mapping[str, Any]], key: str, digits: int) -> list[tuple[float, str]]:
    found = [(value, line) for line in lines if (value := finite(line.get(key))) is not None and value >= 0]
    return [(value, f"{_label(line)}: {value:,.{digits}f}") for value, line in found]


def _quality_values(lines: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    found = [(value, line) for line in lines if (value := _line_quality(line, "ndcg@10")) is not None]
    return [(value, f"{_label(line)}: {figure(value)}") for value, line in found]


def _thinned(lines: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """At most `_MOST_MARKS` lines, evenly, the last among them."""
    every = -(-len(lines) // _MOST_MARKS)
    return lines if every <= 1 else lines[::-1][::every][::-1]
