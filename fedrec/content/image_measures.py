"""What is measured on small pictures: colours, where they lie, edges and where they lie, contrast. All in numpy.

Every function takes pictures float32 [n, side, side, 3] in 0..1 and returns float32 [n, measures].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PictureArray = NDArray[np.float32]
HUES, SATURATIONS, VALUES = 12, 3, 3
LAYOUT = 5
EDGE_GRID, EDGE_ANGLES = 3, 6
GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma weights of ITU-R BT.601."""


def measure(pictures: PictureArray) -> NDArray[np.float32]:
    """All measures side by side, `WIDTH` of them."""
    if not len(pictures):
        return np.zeros((0, WIDTH), np.float32)
    grey = pictures @ GREY
    parts = (colour_histogram(pictures), colour_layout(pictures), edge_histogram(grey), overall(pictures, grey))
    return np.concatenate(parts, axis=1).astype(np.float32)


WIDTH = HUES * SATURATIONS * VALUES + 3 * LAYOUT**2 + (EDGE_ANGLES + 1) * EDGE_GRID**2 + 12


def hsv(pictures: PictureArray) -> tuple[PictureArray, PictureArray, PictureArray]:
    """Hue, saturation and value, each [n, side, side] in 0..1; hue 0 where there is no colour."""
    red, green, blue = (pictures[..., channel] for channel in range(3))
    value = pictures.max(axis=-1)
    chroma = value - pictures.min(axis=-1)
    safe = np.where(chroma > 0, chroma, 1)
    sector = np.where(
        value == red,
        ((green - blue) / safe) % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = np.where(chroma > 0, sector / 6, 0)
    return hue, np.where(value > 0, chroma / np.where(value > 0, value, 1), 0), value


def colour_histogram(pictures: PictureArray) -> NDArray[np.float32]:
    """Joint histogram of hue, saturation and value: roots of the shares of pixels, so that rare colours count."""
    bins = [
        np.minimum((part * size).astype(np.int64), size - 1)
        for part, size in zip(hsv(pictures), (HUES, SATURATIONS, VALUES), strict=True)
    ]
    place = (bins[0] * SATURATIONS + bins[1]) * VALUES + bins[2]
    return np.sqrt(_shares(place.reshape(len(pictures), -1), HUES * SATURATIONS * VALUES))


def colour_layout(pictures: PictureArray) -> NDArray[np.float32]:
    """Mean luma and two colour differences in each cell of a `LAYOUT` x `LAYOUT` grid."""
    cells = _cells(pictures, LAYOUT)
    luma = cells @ GREY
    parts = np.stack([luma, cells[..., 0] - luma, cells[..., 2] - luma], axis=-1)
    return parts.reshape(len(pictures), -1)


def edge_histogram(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per cell of a grid: share of gradient in each of `EDGE_ANGLES` directions, as roots, and how much there is."""
    down = np.zeros_like(grey)
    right = np.zeros_like(grey)
    down[:, 1:-1] = (grey[:, 2:] - grey[:, :-2]) / 2
    right[:, :, 1:-1] = (grey[:, :, 2:] - grey[:, :, :-2]) / 2
    strength = np.hypot(down, right)
    angle = (np.arctan2(down, right) / np.pi) % 1.0
    direction = np.minimum((angle * EDGE_ANGLES).astype(np.int64), EDGE_ANGLES - 1)
    by_angle = np.where(direction[..., None] == np.arange(EDGE_ANGLES), strength[..., None], 0).astype(np.float32)
    cells = _cells(by_angle, EDGE_GRID)
    amount = cells.sum(axis=-1, keepdims=True)
    shares = np.sqrt(cells / np.where(amount > 0, amount, 1))
    return np.concatenate([shares, np.sqrt(amount)], axis=-1).reshape(len(grey), -1).astype(np.float32)


def overall(pictures: PictureArray, grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and deviation of each channel, colourfulness, contrast, skew of luma, and its 5, 50, 95 % points: 12."""
    flat, luma = pictures.reshape(len(pictures), -1, 3), grey.reshape(len(grey), -1)
    spread = luma.std(axis=1)
    off = luma - luma.mean(axis=1, keepdims=True)
    skew = (off**3).mean(axis=1) / np.where(spread > 1e-4, spread, 1) ** 3
    differences = np.stack([flat[..., 0] - flat[..., 1], (flat[..., 0] + flat[..., 1]) / 2 - flat[..., 2]], axis=-1)
    colourful = np.hypot(*differences.std(axis=1).T) + 0.3 * np.hypot(*differences.mean(axis=1).T)
    points = np.quantile(luma, (0.05, 0.5, 0.95), axis=1).T
    columns = (flat.mean(axis=1), flat.std(axis=1), colourful[:, None], spread[:, None], skew[:, None], points)
    return np.concatenate(columns, axis=1).astype(np.float32)


def _shares(places: NDArray[np.int64], bins: int) -> NDArray[np.float32]:
    """Histogram of each row of ``places``, as shares of the row."""
    rows = np.arange(len(places))[:, None] * bins
    counts = np.bincount((places + rows).ravel(), minlength=len(places) * bins)
    return np.asarray(counts.reshape(len(places), bins) / places.shape[1], np.float32)


def _cells(values: NDArray[np.float32], grid: int) -> NDArray[np.float32]:
    """Means over the cells of a grid [n, grid, grid, channels]; cells differ by at most a pixel in side."""
    side = values.shape[1]
    edges = np.linspace(0, side, grid + 1).round().astype(np.int64)
    sizes = np.diff(edges).astype(np.float32)
    rows = np.add.reduceat(values, edges[:-1], axis=1) / sizes[None, :, None, None]
    return np.asarray(np.add.reduceat(rows, edges[:-1], axis=2) / sizes[None, None, :, None], np.float32)
