from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fedrec.content import projection
from fedrec.content.projection import Projection, leading_directions
from fedrec.errors import ContentError

matrices = npst.arrays(
    np.float32, npst.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-100, 100, width=32)
)


@given(matrices, st.integers(1, 10))
@settings(deadline=None)
def test_directions_are_orthonormal_and_ordered(matrix: np.ndarray, k: int) -> None:
    vectors, values = leading_directions(matrix.astype(np.float64), k)
    assert vectors.shape == (matrix.shape[1], len(values)) and len(values) <= min(k, *matrix.shape)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-6)
    assert (np.diff(values) <= 0).all() and (values > 0).all()


@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
@pytest.mark.parametrize("pairs_side", [0, 100], ids=["iterative", "by pairs"])
def test_the_other_ways_agree_with_the_full_one(
    pairs_side: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    matrix = sparse.random(*shape, 0.3, random_state=rng, format="csr")
    full = leading_directions(matrix, 5)
    monkeypatch.setattr(projection, "DENSE_SIDE", 0)
    monkeypatch.setattr(projection, "PAIRS_SIDE", pairs_side)
    other = leading_directions(matrix, 5)
    np.testing.assert_allclose(other[1], full[1], rtol=1e-8)
    np.testing.assert_allclose(other[0], full[0], atol=1e-6)
    np.testing.assert_array_equal(leading_directions(matrix, 5)[0], other[0])


@given(matrices, st.integers(1, 7))
@settings(deadline=None)
def test_by_pairs_what_is_no_direction_is_left_out_too(matrix: np.ndarray, k: int) -> None:
    full = leading_directions(matrix.astype(np.float64), k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "DENSE_SIDE", 0)
        vectors, values = leading_directions(matrix.astype(np.float64), k)
    # A value close to the threshold may be on either side of it.
    both = min(len(values), len(full[1]))
    largest = float(max(values.max(initial=0.0), full[1].max(initial=0.0)))
    np.testing.assert_allclose(values[:both], full[1][:both], atol=1e-7 * largest)
    assert max(values[both:].max(initial=0.0), full[1][both:].max(initial=0.0)) <= 2e-7 * largest
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-5)


@given(matrices)
@settings(deadline=None)
def test_keeping_every_direction_keeps_every_distance(matrix: np.ndarray) -> None:
    kept = Projection.fit(matrix, 50)
    out = kept.apply(matrix) / kept.gain
    before = np.linalg.norm(matrix[:, None].astype(np.float64) - matrix[None], axis=2)
    after = np.linalg.norm(out[:, None] - out[None], axis=2)
    np.testing.assert_allclose(after, before, atol=2e-3 * max(1.0, before.max()))


@given(matrices, st.integers(1, 4), st.booleans(), st.booleans())
@settings(deadline=None)
def test_rows_have_the_promised_norm(matrix: np.ndarray, dimension: int, standardise: bool, unit: bool) -> None:
    fitted = Projection.fit(matrix, dimension, standardise=standardise, unit=unit)
    out = fitted.apply(matrix)
    assert out.dtype == np.float32 and out.shape == (len(matrix), fitted.width) and fitted.width <= dimension
    assert np.isfinite(out).all()
    norms = np.linalg.norm(out, axis=1)
    if unit:
        assert ((np.abs(norms - 1) < 1e-4) | (norms == 0)).all()
    elif norms.any():
        assert np.mean(norms**2) == pytest.approx(1, abs=1e-2)


def test_standardising_makes_units_irrelevant() -> None:
    rows = np.random.default_rng(2).normal(size=(30, 4)).astype(np.float32)
    scaled = rows * np.array([1, 1000, 0.01, 5], np.float32)
    plain, other = (Projection.fit(part, 3, standardise=True).apply(part) for part in (rows, scaled))
    np.testing.assert_allclose(plain, other, atol=1e-3)


def test_the_leading_direction_by_hand() -> None:
    fitted = Projection.fit(np.array([[0, 0], [3, 4], [6, 8]], np.float32), 2)
    assert fitted.directions.ravel().tolist() == pytest.approx([0.6, 0.8])
    # along the line the points lie at -5, 0 and 5: root mean square 5 sqrt(2/3)
    assert fitted.gain == pytest.approx(1 / (5 * np.sqrt(2 / 3)))


@pytest.mark.parametrize("rows", [np.zeros((0, 3), np.float32), np.full((2, 2), np.nan, np.float32)])
def test_nothing_and_nonsense_cannot_be_fitted(rows: np.ndarray) -> None:
    with pytest.raises(ContentError):
        Projection.fit(rows, 2)
