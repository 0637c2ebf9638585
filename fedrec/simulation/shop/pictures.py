"""What the shop's items look like: drawings in which colour and pattern carry the visual part, and nothing else.

The wall behind the product runs from warm to cool with the first visual dimension, the product from coral to blue with
the second; the third makes the table lighter and adds stripes to the product. The outline is the category's and tells
nothing about taste, and size and place vary at random.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw
from scipy.special import ndtr

SIDE = 96
QUALITY = 85
_SCALE = 2  # drawn larger and reduced, for smooth edges
_MOST_STRIPES = 6

Colour = tuple[int, int, int]
Point = tuple[float, float]

WALL: tuple[Colour, ...] = ((242, 178, 140), (238, 226, 204), (146, 196, 224))
BODY: tuple[Colour, ...] = ((222, 70, 58), (150, 96, 140), (36, 92, 190))
TABLE: tuple[Colour, ...] = ((84, 58, 46), (160, 124, 96), (240, 226, 202))
INK: Colour = (58, 46, 44)
LIGHT: Colour = (252, 246, 234)


class _Pen:
    """Draws in coordinates from 0 to 1 inside a product's own square: (0, 0) top left, (1, 1) bottom right."""

    def __init__(self, image: Image.Image, left: float, top: float, size: float) -> None:
        self._draw = ImageDraw.Draw(image)
        self._left, self._top, self._size = left, top, size

    def box(self, x0: float, y0: float, x1: float, y1: float, *, round_by: float = 0.0) -> None:
        corners = [*self.at((x0, y0)), *self.at((x1, y1))]
        self._draw.rounded_rectangle(corners, radius=round_by * self._size, fill=255)

    def oval(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._draw.ellipse([*self.at((x0, y0)), *self.at((x1, y1))], fill=255)

    def ring(self, x0: float, y0: float, x1: float, y1: float, width: float) -> None:
        self._draw.ellipse(
            [*self.at((x0, y0)), *self.at((x1, y1))], outline=255, width=max(1, round(width * self._size))
        )

    def shape(self, *points: Point) -> None:
        self._draw.polygon([self.at(point) for point in points], fill=255)

    def line(self, start: Point, end: Point, width: float) -> None:
        self._draw.line([self.at(start), self.at(end)], fill=255, width=max(1, round(width * self._size)))

    def at(self, point: Point) -> Point:
        return self._left + point[0] * self._size, self._top + point[1] * self._size


def _lamp(body: _Pen, ink: _Pen) -> None:
    body.shape((0.30, 0.05), (0.70, 0.05), (0.92, 0.52), (0.08, 0.52))
    ink.line((0.5, 0.52), (0.5, 0.93), 0.06)
    ink.box(0.28, 0.92, 0.72, 1.0, round_by=0.03)


def _mug(body: _Pen, ink: _Pen) -> None:
    ink.ring(0.60, 0.34, 0.98, 0.78, 0.08)
    body.box(0.10, 0.20, 0.76, 1.0, round_by=0.10)


def _bag(body: _Pen, ink: _Pen) -> None:
    ink.ring(0.32, 0.02, 0.68, 0.50, 0.06)
    body.box(0.08, 0.28, 0.92, 1.0, round_by=0.14)


def _chair(body: _Pen, ink: _Pen) -> None:
    body.box(0.18, 0.0, 0.82, 0.56, round_by=0.12)
    body.box(0.08, 0.54, 0.92, 0.72, round_by=0.06)
    for x in (0.16, 0.84):
        ink.line((x, 0.70), (x, 1.0), 0.07)


def _clock(body: _Pen, ink: _Pen) -> None:
    for x in (0.26, 0.74):
        ink.line((0.5, 0.6), (x, 1.0), 0.08)
    body.oval(0.06, 0.04, 0.94, 0.92)
    ink.line((0.5, 0.48), (0.5, 0.22), 0.05)
    ink.line((0.5, 0.48), (0.70, 0.58), 0.05)


def _vase(body: _Pen, ink: _Pen) -> None:
    ink.line((0.5, 0.3), (0.42, 0.0), 0.03)
    ink.line((0.5, 0.3), (0.60, 0.04), 0.03)
    ink.oval(0.36, -0.04, 0.48, 0.08)
    ink.oval(0.54, 0.0, 0.66, 0.12)
    body.box(0.38, 0.24, 0.62, 0.50)
    body.oval(0.12, 0.36, 0.88, 1.0)


def _cushion(body: _Pen, ink: _Pen) -> None:
    body.box(0.02, 0.26, 0.98, 1.0, round_by=0.20)
    for corner in ((0.05, 0.30), (0.95, 0.30), (0.05, 0.96), (0.95, 0.96)):
        ink.oval(corner[0] - 0.05, corner[1] - 0.05, corner[0] + 0.05, corner[1] + 0.05)


def _bottle(body: _Pen, ink: _Pen) -> None:
    ink.box(0.40, 0.0, 0.60, 0.14, round_by=0.03)
    body.box(0.42, 0.12, 0.58, 0.36)
    body.box(0.24, 0.28, 0.76, 1.0, round_by=0.14)


OUTLINES: tuple[Callable[[_Pen, _Pen], None], ...] = (_lamp, _mug, _bag, _chair, _clock, _vase, _cushion, _bottle)


def draw_picture(rng: np.random.Generator, latent: NDArray[np.float32], category: int) -> bytes:
    """A picture of a product as a JPEG file of 96 x 96 pixels.

    Args:
        rng: decides size, place and small differences of colour.
        latent: float32 [3], the visual part, on the scale of a standard normal.
        category: 0 to 7, whose outline is drawn.
    """
    level = ndtr(latent)
    wall, body, table = (_between(rng, path, at) for path, at in zip((WALL, BODY, TABLE), level, strict=True))
    full = SIDE * _SCALE
    image = Image.new("RGB", (full, full), wall)
    pen = ImageDraw.Draw(image)
    edge = full * rng.uniform(0.66, 0.72)
    pen.rectangle([0, edge, full, full], fill=table)
    pen.line([0, edge, full, edge], fill=_mixed(table, INK, 0.35), width=_SCALE)
    size = full * rng.uniform(0.60, 0.68)
    left = (full - size) / 2 + full * rng.uniform(-0.05, 0.05)
    top = full * rng.uniform(0.86, 0.90) - size
    pen.ellipse(
        [left + 0.02 * size, top + 0.93 * size, left + 1.08 * size, top + 1.07 * size], fill=_mixed(table, INK, 0.4)
    )
    masks = [Image.new("L", (full, full), 0) for _ in range(2)]
    OUTLINES[category](*(_Pen(mask, left, top, size) for mask in masks))
    image.paste(_coat(rng, body, float(level[2]), size, top), mask=masks[0])
    image.paste(_mixed(body, INK, 0.75), mask=masks[1])
    shade = ImageChops.subtract(masks[0], ImageChops.offset(masks[0], round(-0.10 * size), 0))
    image.paste(_mixed(body, INK, 0.45), mask=shade.point(_HALF))
    out = io.BytesIO()
    image.reduce(_SCALE).save(out, format="JPEG", quality=QUALITY)
    return out.getvalue()


_HALF = [value // 2 for value in range(256)]


def _coat(rng: np.random.Generator, body: Colour, level: float, size: float, top: float) -> Image.Image:
    """The product's surface: its colour, with more stripes the higher the level."""
    full = SIDE * _SCALE
    coat = Image.new("RGB", (full, full), body)
    stripes = int(np.floor(_MOST_STRIPES * level + rng.random()))
    pen = ImageDraw.Draw(coat)
    stripe = _mixed(body, LIGHT, 0.8)
    for k in range(stripes):
        y = top + size * (k + 0.5) / stripes
        pen.rectangle([0, y, full, y + 0.055 * size], fill=stripe)
    return coat


def _between(rng: np.random.Generator, path: tuple[Colour, ...], level: float) -> Colour:
    """The colour at ``level`` (0 to 1) along a path of colours, a little off at random."""
    at = float(level) * (len(path) - 1)
    first = min(int(at), len(path) - 2)
    exact = np.asarray(_mixed(path[first], path[first + 1], at - first)) + rng.normal(0.0, 6.0, 3)
    red, green, blue = (int(c) for c in np.clip(np.round(exact), 0, 255))
    return red, green, blue


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue
