"""Sets by sorting, negatives for many users, and ready-made features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.data.drawn_negatives import draw_unmet
from fedrec.data.membership import among, first_places
from fedrec.data.ready_features import read_ready
from fedrec.errors import DataError

NUMBERS = st.lists(st.integers(-5, 40), max_size=40)


@given(values=NUMBERS, others=NUMBERS)
def test_among_and_first_places_are_what_numpy_says(values: list[int], others: list[int]) -> None:
    mine, theirs = np.array(values, dtype=np.int64), np.array(others, dtype=np.int64)
    np.testing.assert_array_equal(among(mine, theirs), np.isin(mine, theirs))
    np.testing.assert_array_equal(first_places(mine), np.sort(np.unique(mine, return_index=True)[1]))


@given(seed=st.integers(0, 1_000), users=st.integers(0, 6), met=st.integers(0, 5))
@settings(deadline=None)
def test_drawn_negatives_are_different_and_unmet(seed: int, users: int, met: int) -> None:
    rng = np.random.default_rng(seed)
    known = rng.integers(-1, 60, (users, met)).astype(np.int32)
    drawn = draw_unmet(rng, known, 60, 10)
    assert drawn.shape == (users, 10)
    for row, own in zip(drawn.tolist(), known.tolist(), strict=True):
        assert len(set(row)) == 10 and set(row).isdisjoint(own) and 0 <= min(row) <= max(row) < 60


def test_each_unmet_item_is_drawn_as_often() -> None:
    rng = np.random.default_rng(0)
    met = np.tile(np.array([[0, 1, -1]], dtype=np.int32), (20_000, 1))
    counts = np.bincount(draw_unmet(rng, met, 40, 6).ravel(), minlength=40)
    assert counts[:2].sum() == 0
    expected = 20_000 * 6 / 38
    # Each count is near binomial: five deviations.
    assert np.abs(counts[2:] - expected).max() < 5 * np.sqrt(expected)


def test_too_few_items_are_refused() -> None:
    with pytest.raises(DataError, match="too few items"):
        draw_unmet(np.random.default_rng(0), np.zeros((1, 5), np.int32), 40, 10)


def test_ready_features_are_put_in_the_order_of_the_items(tmp_path: Path) -> None:
    assert read_ready(tmp_path / "features", ("a", "b", "c")) == {}
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "text.npy", np.arange(4.0).reshape(2, 2))
    (folder / "ids.txt").write_text("c\na\n", encoding="utf-8")
    found = read_ready(folder, ("a", "b", "c"))
    assert found["text"].tolist() == [[2.0, 3.0], [0.0, 0.0], [0.0, 1.0]]
    (folder / "ids.txt").unlink()
    np.save(folder / "text.npy", np.ones((3, 2), np.int64))
    assert read_ready(folder, ("a", "b", "c"))["text"].dtype == np.float32


@pytest.mark.parametrize(
    ("name", "shape", "ids", "words"),
    [
        ("text", (2, 2), None, r"text\.npy: one row for each of the order of the items"),
        ("smell", (3, 2), None, r"smell\.npy: features of no modality"),
        ("text", (3,), None, "features must be numbers of shape"),
        ("text", (2, 2), "a\nx\n", r"ids\.txt:2: no such item"),
        ("text", (2, 2), "a\na\n", r"ids\.txt:2: an item that came before"),
        ("text", (3, 2), "a\nb\n", r"one row for each of ids\.txt"),
    ],
)
def test_features_that_do_not_fit_are_refused(
    name: str, shape: tuple[int, ...], ids: str | None, words: str, tmp_path: Path
) -> None:
    np.save(tmp_path / f"{name}.npy", np.ones(shape, np.float32))
    if ids is not None:
        (tmp_path / "ids.txt").write_text(ids, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_ready(tmp_path, ("a", "b", "c"))
