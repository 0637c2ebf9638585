"""Closed forms of a large catalogue: by factors and blocks, to the same scores as with a matrix of items by items."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.collaborative import leading_pairs as pairs
from fedrec.collaborative import sharpened_factors, tall
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.content_kernel import content_factors, content_kernel
from fedrec.collaborative.denoising import denoised
from fedrec.collaborative.low_rank import mass_of
from fedrec.collaborative.power_iteration import Expected, completed, first, following
from fedrec.collaborative.reading import PaidCooccurrence, PaidFactors, read
from fedrec.collaborative.solve import whole
from fedrec.config import CollaborativeSettings, Config, PriorSettings
from fedrec.content.feature_table import Features
from fedrec.errors import ModelError
from fedrec.queries.cooccurrence import COOCCURRENCE
from fedrec.queries.request import Broadcast

Floats = NDArray[np.float64]
METHODS = ("ease", "cosine", "als")


def features(items: int, width: int = 6) -> Features:
    rng = np.random.default_rng(1)
    values = {"text": rng.standard_normal((items, width)).astype(np.float32)}
    present = {"text": rng.random(items) < 0.9}
    return Features(tuple(map(str, range(items))), ("",) * items, values, present)


def settings(method: str, weight: float, sharpness: float = 0.0, rank: int = 0) -> CollaborativeSettings:
    sections: dict[str, Any] = {
        "solver": {"method": method, "ridge": 2.0, "rank": rank},
        "prior": {"weight": weight, "modalities": {"text": 1.0}, "sharpness": sharpness, "rank": 64},
        "fold_in": {"rank": 5},
    }
    return CollaborativeSettings.model_validate(sections)


def cooccurrence(items: int, part: int, noisy: bool) -> PaidCooccurrence:
    rng = np.random.default_rng(2)
    used = (rng.random((40, items)) < 0.2) / 4.0
    popularity = used.sum(axis=0) * 4
    places = np.sort(rng.choice(items, part, replace=False))
    return PaidCooccurrence(popularity, used[:, places].T @ used[:, places], places, noisy)


def scores(table: CollaborativeFactors) -> Floats:
    """What each item says of each other; of an item itself nothing is asked."""
    found = table.history.astype(float) @ table.candidate.T.astype(float)
    np.fill_diagonal(found, 0.0)
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("weight", "noisy"), [(0.0, False), (0.0, True), (0.5, True)])
def test_a_cooccurrence_read_by_factors_scores_as_the_matrix_does(
    method: str, weight: float, noisy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums, content, asked = cooccurrence(30, 20, noisy), features(30), settings(method, weight)
    dense = read(sums, asked, content)
    monkeypatch.setattr(tall, "MOST_SQUARE_ITEMS", 20)
    linear = read(sums, asked, content)
    np.testing.assert_allclose(scores(linear), scores(dense), atol=2e-5)
    assert dense.factors is not None and linear.factors is not None
    if method == "als" or not (noisy or weight):  # elsewhere the matrix that is placed among has a raised diagonal
        np.testing.assert_allclose(linear.factors @ linear.factors.T, dense.factors @ dense.factors.T, atol=2e-4)


def test_a_matrix_of_items_by_items_is_refused_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tall, "MOST_SQUARE_ITEMS", 20)
    content, sums, asked = features(21), cooccurrence(21, 5, True), settings("ease", 0.5)
    said = Broadcast({"items": np.arange(21)}, {})
    for make in (
        lambda: content_kernel(content, asked.prior),
        lambda: whole(sums.popularity, sums.matrix, sums.items, asked, features=content, noisy=True),
        lambda: COOCCURRENCE.sum(Config(), said, 1, content),
    ):
        with pytest.raises(ModelError, match="items by items") as refused:
            make()
        assert refused.value.value == 21 and "power_iteration" in refused.value.action


@pytest.mark.parametrize("sharpness", [0.0, 2.0])
@pytest.mark.parametrize("method", METHODS)
def test_no_closed_form_takes_memory_that_grows_as_the_square_of_the_items(
    method: str, sharpness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tall, "MOST_SQUARE_ITEMS", 500)
    monkeypatch.setattr(sharpened_factors, "LANDMARKS", 200)
    items, users = 5_000, 400
    content, asked = features(items), settings(method, 0.5, sharpness, rank=8)
    rng = np.random.default_rng(3)
    popularity = rng.exponential(size=items) + 0.1
    part = cooccurrence(items, 50, noisy=True)
    tracemalloc.start()
    mass = mass_of(popularity, users)
    kernel = content_factors(content, asked.prior)
    expected = Expected.of(mass, popularity, kernel)
    begun = first(expected, 6, 0.3)
    for how in ("items", "content"):
        noisy = rng.standard_normal(items * begun.vectors.shape[1])
        found = completed(noisy, begun, expected, 1.0, how)
        assert np.isfinite(following(begun, found, 6, 0.3).vectors).all()
    factors = read(PaidFactors(popularity, begun.centre, mass, found.factors, kernel), asked, content)
    assert read(part, asked, content).items == items
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(scores_of_one(factors)).all()
    assert peak < items * items * 4 / 2


def scores_of_one(table: CollaborativeFactors) -> Floats:
    return np.asarray(table.history[0] @ table.candidate.T, dtype=float)


def test_leading_pairs_are_those_of_a_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "EXACT", 50)
    monkeypatch.setattr(pairs, "BESIDE", 10)
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.standard_normal((120, 120)))[0]
    values = 0.8 ** np.arange(120)
    vectors, found = pairs.leading_pairs((basis * values) @ basis.T, 12, steps=8)
    np.testing.assert_allclose(found, values[:12], rtol=1e-9)
    np.testing.assert_allclose(np.abs((vectors * basis[:, :12]).sum(axis=0)), 1.0, atol=1e-9)


def test_directions_of_a_gram_matrix_are_those_of_the_table() -> None:
    rng = np.random.default_rng(5)
    table = rng.standard_normal((300, 7)) @ np.diag([9.0, 5, 4, 3, 2, 1, 0])
    vectors, singular = tall.directions_of(tall.gram(table))
    assert len(singular) == 6  # what is zero up to rounding is no direction
    np.testing.assert_allclose(singular, np.linalg.svd(table, compute_uv=False)[:6], rtol=1e-9)
    np.testing.assert_allclose(tall.times(table, vectors) @ vectors.T, table, atol=1e-9)
    np.testing.assert_allclose(tall.squared_lengths(table), (table**2).sum(axis=1))


def test_items_are_placed_by_landmarks_about_as_well_as_by_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    content, prior = features(900, width=4), PriorSettings(weight=1.0, modalities={"text": 1.0}, sharpness=2.0, rank=60)
    kernel, exact = content_kernel(content, prior), content_factors(content, prior)
    monkeypatch.setattr(sharpened_factors, "LANDMARKS", 300)
    monkeypatch.setattr(sharpened_factors, "EXACT", 0)
    placed = content_factors(content, prior)
    size = np.linalg.norm(kernel)
    assert np.linalg.norm(exact @ exact.T - kernel) / size < 1e-2
    assert np.linalg.norm(placed @ placed.T - kernel) / size < 2e-2
    assert not placed[~content.present["text"]].any()


def test_variances_of_a_sample_denoise_a_large_sum_as_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    items, content = 4_000, rng.standard_normal((4_000, 5))
    mass, ones = rng.exponential(size=items) + 0.2, np.ones((items, 1))
    true = content @ rng.standard_normal((5, 3)) + np.sqrt(mass)[:, None] * rng.standard_normal((items, 3))
    noisy, none = true + 2.0 * rng.standard_normal((items, 3)), np.zeros((items, 3))
    every = denoised(noisy, none, content, mass, 2.0, ones, "content")
    monkeypatch.setattr("fedrec.collaborative.denoising._SAMPLED", 1_000)
    some = denoised(noisy, none, content, mass, 2.0, ones, "content")
    error = np.linalg.norm(every - true)
    assert error < 0.7 * np.linalg.norm(noisy - true)
    assert np.linalg.norm(some - true) < 1.02 * error
