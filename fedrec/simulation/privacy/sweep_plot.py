"""The curve of a sweep as SVG: quality over epsilon on a logarithmic axis, with error bars; no noise stands apart."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_WIDTH, _HEIGHT, _MARGIN = 640, 380, 60
_COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
SweepPoint = Mapping[str, Any]


@dataclass(frozen=True)
class SweepAxes:
    """Where things stand, in pixels. ``epsilons``: the finite ones, ascending; ``values``: lowest and highest."""

    epsilons: tuple[float, ...]
    values: tuple[float, float]

    def across(self, epsilon: float | None) -> float:
        """Pixels from the left; no noise (None) at the right end, past a gap."""
        right = _WIDTH - _MARGIN
        if epsilon is None or not self.epsilons:
            return float(right)
        low, high = math.log(self.epsilons[0]), math.log(self.epsilons[-1])
        share = 0.5 if high == low else (math.log(epsilon) - low) / (high - low)
        return round(_MARGIN + 15 + share * (right - _MARGIN - 90), 1)

    def up(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.values
        return round(_HEIGHT - _MARGIN - (value - low) / (high - low) * (_HEIGHT - 2 * _MARGIN), 1)


def svg(found: Mapping[str, Any], metric: str, title: str) -> str:
    """The picture of one metric, such as ``loo-99neg/ndcg@10``; points without a figure are left out."""
    points = [point for point in found["points"] if point["quality"][metric]["mean"] is not None]
    level = _level(found, metric)
    axes = _axes(points, metric, level)
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    parts += [f'<rect {size} fill="white"/>', _text(_WIDTH / 2, 22, title, 'text-anchor="middle" font-size="14"')]
    parts += _grid(axes, points)
    if level is not None:
        y = axes.up(level)
        line = f'<line x1="{_MARGIN}" y1="{y}" x2="{_WIDTH - _MARGIN}" y2="{y}"'
        parts += [f'{line} stroke="#888" stroke-dasharray="5 4"/>', _text(_MARGIN + 4, y - 5, "popularity", "")]
    for number, name in enumerate(dict.fromkeys(point["variant"] for point in points)):
        parts += _curve([p for p in points if p["variant"] == name], metric, axes, _COLOURS[number % len(_COLOURS)])
        if name:
            place = _text(_MARGIN + 8, 44 + 15 * number, name, f'fill="{_COLOURS[number % len(_COLOURS)]}"')
            parts.append(place)
    parts.append(_text(_WIDTH / 2, _HEIGHT - 14, "epsilon of the released model", 'text-anchor="middle"'))
    return "\n".join([*parts, "</svg>", ""])


def _level(found: Mapping[str, Any], metric: str) -> float | None:
    protocol, _, name = metric.partition("/")
    known = found.get("popularity")
    value = known.get(name) if protocol == "loo-99neg" and known else None
    return value if isinstance(value, float) else None


def _axes(points: Sequence[SweepPoint], metric: str, level: float | None) -> SweepAxes:
    ends = [level] if level is not None else []
    for point in points:
        mean, deviation = point["quality"][metric]["mean"], point["quality"][metric]["deviation"] or 0.0
        ends += [mean - deviation, mean + deviation]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = max(0.08 * (high - low), 1e-3)
    return SweepAxes(
        tuple(sorted({p["epsilon"] for p in points if p["epsilon"] is not None})), (low - room, high + room)
    )


def _grid(axes: SweepAxes, points: Sequence[SweepPoint]) -> list[str]:
    parts = []
    for step in range(5):
        value = axes.values[0] + step / 4 * (axes.values[1] - axes.values[0])
        y = axes.up(value)
        parts.append(f'<line x1="{_MARGIN}" y1="{y}" x2="{_WIDTH - _MARGIN}" y2="{y}" stroke="#ddd"/>')
        parts.append(_text(_MARGIN - 6, y + 4, f"{value:.3f}", 'text-anchor="end"'))
    bottom = _HEIGHT - _MARGIN + 18
    parts += [_text(axes.across(e), bottom, f"{e:g}", 'text-anchor="middle"') for e in axes.epsilons]
    if any(point["epsilon"] is None for point in points):
        parts.append(_text(axes.across(None), bottom, "no noise", 'text-anchor="middle"'))
    return parts


def _curve(points: Sequence[SweepPoint], metric: str, axes: SweepAxes, colour: str) -> list[str]:
    places = [(axes.across(p["epsilon"]), p["quality"][metric], p["epsilon"]) for p in points]
    line = " ".join(f"{x},{axes.up(cell['mean'])}" for x, cell, epsilon in places if epsilon is not None)
    parts = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'] if line else []
    for x, cell, _ in places:
        mean, deviation = cell["mean"], cell["deviation"] or 0.0
        top, bottom = axes.up(mean + deviation), axes.up(mean - deviation)
        parts.append(f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{x}" cy="{axes.up(mean)}" r="3.5" fill="{colour}"/>')
    return parts


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x}" y="{y}" {attributes}>{html.escape(text)}</text>'
