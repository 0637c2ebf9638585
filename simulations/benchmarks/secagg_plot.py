"""The scaling study's plot: costs over the cohort on logarithmic axes, beside the laws they should follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH, _HEIGHT, _MARGIN = 640, 360, 56
_INNER_WIDTH, _INNER_HEIGHT = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN


@dataclass(frozen=True)
class Series:
    """A column of the table, and the law it should follow."""

    name: str
    label: str
    colour: str
    law: Callable[[float], float]


SERIES = (
    Series("device_cpu_ms", "one device, ms of one core; dashed: log n", "#1f77b4", math.log),
    Series("server_total_s", "server, s; dashed: n log n", "#d62728", lambda devices: devices * math.log(devices)),
)


@dataclass(frozen=True)
class ScalingAxes:
    """What the plot spans, and where a value stands in it, in pixels."""

    devices: tuple[float, float]
    values: tuple[float, float]

    @classmethod
    def around(cls, rows: Sequence[dict[str, Any]]) -> ScalingAxes:
        """Whole decades around all values."""
        values = [row[one.name] for row in rows for one in SERIES]
        decades = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls((rows[0]["devices"], rows[-1]["devices"]), (10.0 ** decades[0], 10.0 ** decades[1]))

    def place(self, devices: float, value: float) -> tuple[float, float]:
        """Pixels from the left and from the top."""
        across, up = share(devices, self.devices), share(value, self.values)
        return round(_MARGIN + across * _INNER_WIDTH, 1), round(_HEIGHT - _MARGIN - up * _INNER_HEIGHT, 1)


def share(value: float, span: tuple[float, float]) -> float:
    """How far along a logarithmic span a value lies, 0 to 1."""
    return math.log(value / span[0]) / math.log(span[1] / span[0])


def svg(rows: Sequence[dict[str, Any]]) -> str:
    """The picture; ``rows`` (at least two) ascend in ``devices`` and hold the columns of `SERIES`."""
    axes = ScalingAxes.around(rows)
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    parts += [f'<rect {size} fill="white"/>', *grid(rows, axes)]
    for number, one in enumerate(SERIES):
        parts += curve(rows, axes, one)
        parts.append(f'<text x="{_MARGIN + 8}" y="{20 + 16 * number}" fill="{one.colour}">{one.label}</text>')
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 12}" text-anchor="middle">devices in the cohort</text>')
    return "\n".join([*parts, "</svg>", ""])


def grid(rows: Sequence[dict[str, Any]], axes: ScalingAxes) -> list[str]:
    """A line a decade, and a label for each cohort."""
    parts = []
    for row in rows:
        x, y = axes.place(row["devices"], axes.values[0])
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{row["devices"]:,}</text>')
    decades = round(math.log10(axes.values[1] / axes.values[0]))
    for value in (axes.values[0] * 10.0**decade for decade in range(decades + 1)):
        (left, y), (right, _) = axes.place(axes.devices[0], value), axes.place(axes.devices[1], value)
        parts.append(f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    return parts


def curve(rows: Sequence[dict[str, Any]], axes: ScalingAxes, one: Series) -> list[str]:
    """What was measured, and the law through the middle row."""
    middle = rows[len(rows) // 2]
    scale = middle[one.name] / one.law(middle["devices"])
    measured = [axes.place(row["devices"], row[one.name]) for row in rows]
    law = [axes.place(row["devices"], scale * one.law(row["devices"])) for row in rows]
    stroke = f'fill="none" stroke="{one.colour}"'
    return [
        f'<polyline points="{points(law)}" {stroke} stroke-dasharray="4 4"/>',
        f'<polyline points="{points(measured)}" {stroke} stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="{one.colour}"/>' for x, y in measured),
    ]


def points(places: Sequence[tuple[float, float]]) -> str:
    """In the form that a polyline takes."""
    return " ".join(f"{x},{y}" for x, y in places)
