"""What the report's charts show, as plain data that plotly.js draws in the colours of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedrec.run_values import finite as finite
from fedrec.run_values import table as table
from fedrec.run_warnings import PRIVATE_POPULARITY
from fedrec.simulators_view import MARK

Chart = dict[str, Any]

ROUND: Final = "round"
REQUEST: Final = "request"

METRICS: Final = {"hr@10": "HR@10", "ndcg@10": "NDCG@10"}
BASELINES: Final = ("oracle", "popularity", PRIVATE_POPULARITY, "random")


def all_charts(
    run: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]
) -> list[Chart]:
    """Every chart of a run. One without a single figure has ``empty`` set, and is said in words instead.

    A chart is ``{"id", "title", "caption", "unit", "format", "kind": "line" | "bar", "axis", "x", "y", "hover",
    "levels", "empty"}``; ``levels`` are horizontal lines ``{"name", "value"}``; ``x``, ``y``, ``hover`` have one entry
    a point; ``axis`` says what ``x`` counts: rounds of training, or requests in the order in which they were made,
    since every query counts its own rounds from 0.
    """
    charts = [_quality(metric, run, rounds, baselines) for metric in METRICS]
    charts.append(_epsilon(run, rounds))
    charts.append(
        _series(
            "bytes",
            "Sent by one device",
            rounds,
            "bytes_up_per_device",
            kind="bar",
            unit="bytes",
            caption="What one device uploads in each round. It never depends on what the device's owner did.",
        )
    )
    charts.append(
        _series(
            "seconds",
            "Time",
            rounds,
            "seconds",
            kind="bar",
            unit="seconds",
            caption="How long each round took on the machine that ran the simulation.",
        )
    )
    loss = _series(
        "loss",
        "Training loss",
        rounds,
        "loss",
        kind="line",
        unit="loss",
        caption=f"Mean over a round's rows. {MARK[:1].upper()}{MARK[1:]}: no device sends it.",
    )
    return charts if loss["empty"] else [*charts, loss]


def _quality(
    metric: str, run: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]
) -> Chart:
    points = []
    for place, record in enumerate(rounds):
        value = finite(table(table(record.get("quality")).get("loo-99neg")).get(metric))
        if value is not None:
            points.append((_number(record, place), value, _hover(record)))
    final = finite(table(table(run.get("quality")).get("loo-99neg")).get(metric))
    if not points and final is not None:
        points.append((_number(rounds[-1], len(rounds) - 1) if rounds else 0, final, "at the end"))
    levels = [
        {"name": name, "value": value}
        for name in BASELINES
        if (value := finite(table(baselines.get(name)).get(metric))) is not None
    ]
    caption = "Each person's held-out item against 99 others. Higher is better."
    return _chart(metric.split("@")[0], METRICS[metric], caption, "", "line", points, levels)


def _epsilon(run: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]]) -> Chart:
    budget = finite(table(table(run.get("config")).get("privacy")).get("epsilon"))
    return _series(
        "epsilon",
        "Privacy spent",
        rounds,
        "epsilon_spent",
        kind="line",
        unit="epsilon",
        caption="Epsilon of everything released so far. A run stops before it passes its budget.",
        levels=[] if budget is None else [{"name": "budget", "value": budget}],
    )


def _series(
    name: str,
    title: str,
    rounds: Sequence[Mapping[str, Any]],
    key: str,
    *,
    kind: str,
    unit: str,
    caption: str,
    levels: Sequence[Mapping[str, Any]] = (),
) -> Chart:
    # Every query counts its own rounds, so they follow each other by their place in the run.
    points = [
        (float(place), value, _hover(record))
        for place, record in enumerate(rounds, start=1)
        if (value := finite(record.get(key))) is not None
    ]
    return _chart(name, title, caption, unit, kind, points, levels, axis=REQUEST)


def _chart(
    name: str,
    title: str,
    caption: str,
    unit: str,
    kind: str,
    points: Sequence[tuple[float, float, str]],
    levels: Sequence[Mapping[str, Any]],
    *,
    axis: str = ROUND,
) -> Chart:
    return {
        "id": name,
        "title": title,
        "caption": caption,
        "unit": unit,
        "format": "~s" if unit == "bytes" else ",.3~f",
        "kind": kind,
        "axis": axis,
        "x": [point[0] for point in points],
        "y": [point[1] for point in points],
        "hover": [point[2] for point in points],
        "levels": [dict(level) for level in levels],
        "empty": not points,
    }


def _number(record: Mapping[str, Any], place: int) -> float:
    number = finite(record.get("round"))
    return float(place) if number is None else number


def _hover(record: Mapping[str, Any]) -> str:
    query = record.get("query")
    # plotly reads a few HTML tags in hover texts; a query's name needs none
    return "".join(c for c in str(query)[:60] if c not in "<>&") if query else ""
