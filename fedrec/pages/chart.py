"""Small charts as SVG: places in a fixed frame, which a template draws and a style sheet colours. No script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 480
HEIGHT: Final = 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 22
_MOST_TICKS: Final = 4


@dataclass(frozen=True)
class Mark:
    """A value's place. ``x``, ``y``: of a dot, or of a bar's upper left; ``width``, ``height``: of a bar.  ``text``:
    what it is, for people."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class DrawnChart:
    """A chart with all that a template needs.

    Args:
        id: unique on a page.
        title: what it shows.
        bars: whether its marks are bars; else they are dots on a line.
        marks: its values in order.
        line: the line through them, as an SVG path; empty for bars.
        ticks: (y, text) of the lines across.
        level: (y, text) of a line that must not be passed; None without one.
        last: the last value, in words.
    """

    id: str
    title: str
    bars: bool
    marks: tuple[Mark, ...]
    line: str
    ticks: tuple[tuple[float, str], ...]
    level: tuple[float, str] | None
    last: str


def draw(
    id: str,
    title: str,
    values: Sequence[tuple[float, str]],
    *,
    bars: bool = False,
    level: tuple[float, str] | None = None,
    digits: int = 2,
) -> DrawnChart | None:
    """A chart of finite values of zero or above, each with its label, from left to right; None without any.

    ``level``: a value, and what it is.  ``digits``: decimals of the figures beside the axis.
    """
    if not values:
        return None
    highest = max([value for value, _ in values] + ([level[0]] if level else []))
    top, step = _rounded_up(highest)
    inner_width, inner_height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def y(value: float) -> float:
        return round(_TOP + inner_height * (1 - value / top), 2)

    share = inner_width / len(values)
    wide = max(1.0, min(share * 0.8, 28.0))
    marks = []
    for place, (value, text) in enumerate(values):
        middle = _LEFT + share * (place + 0.5)
        high = max(0.0, _TOP + inner_height - y(value))
        at = middle - wide / 2 if bars else middle
        marks.append(Mark(round(at, 2), y(value), round(wide, 2), round(high, 2), text))
    line = "" if bars else "M" + " L".join(f"{mark.x} {mark.y}" for mark in marks)
    ticks = tuple((y(step * n), _figure(step * n, digits)) for n in range(round(top / step) + 1))
    drawn = None if level is None else (y(level[0]), level[1])
    return DrawnChart(id, title, bars, tuple(marks), line, ticks, drawn, values[-1][1])


def _rounded_up(highest: float) -> tuple[float, float]:
    """The top of an axis and the step of its ticks: round numbers."""
    if highest <= 0:
        return 1.0, 1.0
    rough = highest / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= rough * (1 - 1e-9))
    return step * math.ceil(highest / step - 1e-9), step


def _figure(value: float, digits: int) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    if value >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{round(value, digits):g}"
