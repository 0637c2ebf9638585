"""Graphs over items: neighbours and smoothed features, against known answers and laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedrec.content import graph

# Three items in a row and one apart: 0 and 1 share a direction, 1 and 2 another, 3 has nothing.
CHAIN = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 3.0], [0.0, 0.0]])


def test_neighbours_are_the_nearest_by_cosine_whatever_the_length() -> None:
    assert graph.nearest(CHAIN, 1).tolist() == [[1], [0], [1], [-1]]
    assert graph.nearest(CHAIN, 3).tolist() == [[1, -1, -1], [0, 2, -1], [1, -1, -1], [-1, -1, -1]]


def test_more_items_than_a_block_have_the_neighbours_that_all_cosines_give() -> None:
    vectors = np.random.default_rng(0).normal(size=(1100, 6))
    found = graph.nearest(vectors, 4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    best = -np.sort(-cosines, axis=1)[:, :4]
    np.testing.assert_allclose(np.take_along_axis(cosines, found, 1), best, atol=2e-6)


def test_an_edge_runs_both_ways_and_weighs_one_for_each_list() -> None:
    lists = [np.array([[1], [2], [1], [-1]]), np.array([[1], [0], [-1], [-1]])]
    expected = [[0, 2, 0, 0], [2, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert graph.adjacency(lists, 4).toarray().tolist() == expected


def test_smoothing_is_light_gcns() -> None:
    """Two layers on a path of three, worked out by hand from He et al. 2020, equation 8 and 11."""
    edges = graph.adjacency([np.array([[1], [2], [-1], [-1]])], 4)
    half = 0.5**0.5
    step = np.array([[0, half, 0], [half, 0, half], [0, half, 0]])
    start = np.eye(3)
    expected = (start + step @ start + step @ step @ start) / 3
    values = np.concatenate([2 * np.eye(3), np.full((1, 3), 7.0)])
    found = graph.smoothed(values, np.array([True, True, True, True]), edges, 2)
    np.testing.assert_allclose(found[:3], 2 * expected, atol=1e-6)
    np.testing.assert_allclose(found[3], values[3] / 3, atol=1e-6)


def test_an_item_without_the_modality_neither_gets_nor_gives() -> None:
    edges = graph.adjacency([np.array([[1], [2], [1]])], 3)
    values = np.array([[1.0, 0.0], [np.nan, 5.0], [0.0, 1.0]])
    found = graph.smoothed(values, np.array([True, False, True]), edges, 3)
    np.testing.assert_allclose(found, [[0.25, 0], [0, 0], [0, 0.25]], atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_laws_of_smoothing(items: int, count: int, layers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(items, 3))
    present = rng.random(items) > 0.3
    neighbours = graph.nearest(vectors, count)
    edges = graph.adjacency([neighbours], items)
    assert (edges != edges.T).nnz == 0
    assert not edges.diagonal().any()
    assert ((neighbours >= 0).sum(1) <= min(count, items - 1)).all()
    found = graph.smoothed(vectors, present, edges, layers)
    assert not found[~present].any()
    # Another order of the items is the same graph.
    order = rng.permutation(items)
    again = graph.smoothed(vectors[order], present[order], edges[order][:, order], layers)
    np.testing.assert_allclose(again, found[order], atol=1e-5)
    # The length that an item's own vector had only scales its own row.
    scaled = graph.smoothed(vectors * np.arange(1, items + 1)[:, None], present, edges, layers)
    np.testing.assert_allclose(scaled, found * np.arange(1, items + 1)[:, None], rtol=1e-4, atol=1e-5)


def test_a_missing_modality_adds_nothing_to_the_content_vector() -> None:
    values: dict[str, NDArray[Any]] = {
        "text": np.array([[3.0, 4.0], [9.0, 9.0]], np.float32),
        "image": np.zeros((2, 3, 4, 4), np.uint8),
        "attributes": np.array([[2.0], [1.0]], np.float32),
    }
    present = {name: np.array([True, name != "text"]) for name in values}
    found = graph.stacked_columns(values, present)
    assert found == pytest.approx(np.array([[0.6, 0.8, 1.0], [0.0, 0.0, 1.0]]))
