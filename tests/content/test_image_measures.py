from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.content import image_measures as m

SIDE = 30


def flat(red: float, green: float, blue: float) -> m.PictureArray:
    return np.broadcast_to(np.array([red, green, blue], np.float32), (1, SIDE, SIDE, 3)).copy()


def test_measures_are_as_many_as_said_and_finite() -> None:
    noise = np.random.default_rng(0).random((3, SIDE, SIDE, 3), np.float32)
    for pictures in (noise, flat(0, 0, 0), flat(1, 1, 1), noise[:0]):
        got = m.measure(pictures)
        assert got.shape == (len(pictures), m.WIDTH) and got.dtype == np.float32 and np.isfinite(got).all()


@given(*[st.integers(0, 255)] * 3)
def test_hsv_is_that_of_the_standard_library(red: int, green: int, blue: int) -> None:
    pixel = np.array([red, green, blue], np.float32).reshape(1, 1, 1, 3) / np.float32(255)
    got = [float(part[0, 0, 0]) for part in m.hsv(pixel)]
    assert got == pytest.approx(colorsys.rgb_to_hsv(*pixel.ravel().tolist()), abs=1e-5)


def test_one_colour_fills_one_bin() -> None:
    histogram = m.colour_histogram(flat(1, 0, 0))[0]
    assert histogram.sum() == 1 and histogram.max() == 1
    half = flat(1, 0, 0)
    half[:, :, SIDE // 2 :] = (0, 1, 0)
    both = np.sort(m.colour_histogram(half)[0])[-2:]
    assert both.tolist() == pytest.approx([np.sqrt(0.5)] * 2)


def test_layout_says_where_it_is_bright() -> None:
    picture = flat(0, 0, 0)
    picture[:, : SIDE // m.LAYOUT] = 1
    layout = m.colour_layout(picture).reshape(m.LAYOUT, m.LAYOUT, 3)
    assert layout[0, :, 0] == pytest.approx(1) and layout[1:, :, 0] == pytest.approx(0)
    assert layout[..., 1:] == pytest.approx(0, abs=1e-6)


def test_edges_tell_their_direction_and_cell() -> None:
    upright = flat(0, 0, 0)
    upright[:, :, 5:] = 1  # one vertical edge, in the left third
    cells = m.edge_histogram(upright @ m.GREY).reshape(m.EDGE_GRID, m.EDGE_GRID, m.EDGE_ANGLES + 1)
    assert cells[:, 0, 0] == pytest.approx(1)
    assert cells[:, 1:].sum() == 0
    lying = upright.transpose(0, 2, 1, 3)
    turned = m.edge_histogram(lying @ m.GREY).reshape(cells.shape)
    assert turned[0, :, m.EDGE_ANGLES // 2] == pytest.approx(1)
    assert turned[0, :, -1] == pytest.approx(cells[:, 0, -1])


def test_overall_of_a_flat_picture() -> None:
    mean, deviation, (colourful, contrast, skew), points = np.split(
        m.overall(g := flat(0.5, 0.5, 0.5), g @ m.GREY)[0], [3, 6, 9]
    )
    assert mean == pytest.approx(0.5) and points == pytest.approx(0.5)
    assert [*deviation, colourful, contrast, skew] == pytest.approx([0] * 6, abs=1e-5)
