"""A user's place among item factors: the minimum that it says it is, on the device, in a score and in a release."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from ranking_cases import ITEMS, catalogue, model_settings, table

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.fold_in_factors import from_factors, from_matrix
from fedrec.config import CollaborativeSettings, FoldInSettings, ScoringSettings
from fedrec.errors import ModelError
from fedrec.ranking.fold_in import FoldIn
from fedrec.ranking.score import Scorer, behaviour_scores, touched
from fedrec.ranking.standardise import standardised
from fedrec.testing import scoring as contract
from fedrec.users import Histories

RNG = np.random.default_rng(0)
FACTORS = RNG.normal(size=(ITEMS, 5)).astype(np.float32)
LISTS = [[0, 3, 5], [], list(range(1, 15)), [9, 9]]


def loss(p: NDArray[np.float64], items: list[int], counts: NDArray[np.float64], settings: FoldInSettings) -> float:
    scores = FACTORS.astype(float) @ p
    known = counts.sum() + settings.unknown * ITEMS
    own = float((counts * (1 - scores[items]) ** 2).sum())
    return own + settings.unknown * float((scores**2).sum()) + settings.ridge * known * float(p @ p)


@given(unknown=st.floats(0.01, 10), ridge=st.floats(1e-3, 10), recency=st.sampled_from([0.0, 0.7]))
def test_a_user_is_where_the_loss_is_least(unknown: float, ridge: float, recency: float) -> None:
    settings = FoldInSettings(unknown=unknown, ridge=ridge)
    # Three items are fewer than five factors, fourteen are more: both ways to solve are taken.
    for items in ([0, 3, 5], list(range(1, 15))):
        scores = FoldIn(FACTORS, settings).scores(touched(Histories.of([items]), ITEMS, recency=recency))[0]
        p = np.linalg.lstsq(FACTORS.astype(float), scores.astype(float), rcond=None)[0]
        counts = (1.0 + np.arange(len(items))[::-1]) ** -recency
        least = loss(p, items, counts, settings)
        for step in np.vstack([np.eye(5), -np.eye(5)]) * 1e-2:
            assert loss(p + step, items, counts, settings) > least


@pytest.mark.parametrize("rank", [5, 60])
def test_many_users_at_once_are_each_by_themselves(rank: int) -> None:
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(300, rank)).astype(np.float32)
    settings, exact = FoldInSettings(unknown=0.1, ridge=0.01), factors.astype(float)
    # Lengths on both sides of the rank, of what is solved in a batch, and of what is padded; nobody among them.
    lengths = [0, 1, 2, 3, 47, 48, 49, 61, 100, 101, 0, 17, 250]
    known = touched(Histories.of([rng.choice(300, size, replace=False) for size in lengths]), 300, recency=0.3)
    found = FoldIn(factors, settings).scores(known)
    for user, scores in enumerate(found):
        items, counts = known[[user]].indices, known[[user]].data.astype(float)
        moments = exact[items].T @ (counts[:, None] * exact[items]) + settings.unknown * exact.T @ exact
        moments += settings.ridge * (counts.sum() + settings.unknown * 300) * np.eye(rank)
        np.testing.assert_allclose(scores, exact @ np.linalg.solve(moments, counts @ exact[items]), atol=2e-5)


def test_a_history_without_a_solution_leaves_others_theirs() -> None:
    factors = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    fold = FoldIn(factors, FoldInSettings())
    good, bad = touched(Histories.of([[0, 1], [1, 2]]), 6), touched(Histories.of([[0, 1], [1, 2]]), 6)
    bad.data[2:] = np.inf
    found = fold.scores(bad)
    np.testing.assert_array_equal(found[0], fold.scores(good)[0])
    assert not found[1].any()


def test_it_weighs_items_against_each_other_and_nobody_scores_nothing() -> None:
    twins = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], np.float32)
    fold = FoldIn(twins, FoldInSettings(unknown=0.01, ridge=1e-3))
    once, twice, nobody = fold.scores(touched(Histories.of([[0], [0, 1], []]), 4))
    # Said twice by two items that are the same, it is not twice as much.
    assert once[0] < twice[0] < 1.1 * once[0]
    assert not nobody.any()


def test_scores_do_not_depend_on_how_factors_are_turned() -> None:
    turn, _ = np.linalg.qr(RNG.normal(size=(5, 5)))
    known = touched(Histories.of(LISTS), ITEMS)
    ours, turned = (FoldIn(table_, FoldInSettings()).scores(known) for table_ in (FACTORS, FACTORS @ turn))
    np.testing.assert_allclose(ours, turned, atol=1e-5)
    assert ours.dtype == np.float32


def scorer(weight: float) -> Scorer:
    return Scorer(
        model=None,
        features=catalogue(),
        collaborative=dataclasses.replace(table(), factors=FACTORS),
        settings=CollaborativeSettings(
            fold_in=FoldInSettings(weight=weight), scoring=ScoringSettings(weight=1.0, popularity_weight=0.0)
        ),
        model_settings=model_settings(),
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_scorer_with_fold_in_holds_the_contract_and_mixes_as_it_says(weight: float) -> None:
    ours, histories = scorer(weight), Histories.of(LISTS)
    contract.check_scoring(ours.scores, ITEMS, np.random.default_rng(0))
    first = standardised(behaviour_scores(table(), histories))
    second = standardised(FoldIn(FACTORS, FoldInSettings()).scores(touched(histories, ITEMS)))
    mixed = standardised(np.float32(1 - weight) * first + np.float32(weight) * second)
    np.testing.assert_allclose(ours.scores(histories), mixed, atol=1e-5)


def test_factors_are_part_of_the_table_and_refused_where_they_make_no_sense() -> None:
    whole = dataclasses.replace(table(), factors=FACTORS)
    again = CollaborativeFactors.from_arrays(whole.arrays())
    assert again.factors is not None
    np.testing.assert_array_equal(again.factors, FACTORS)
    assert whole.discounted(0.5).factors is not None
    assert "factors" not in table().arrays()
    for broken in (FACTORS[:-1], FACTORS[0], np.full_like(FACTORS, np.nan)):
        with pytest.raises(ModelError, match="factors"):
            dataclasses.replace(table(), factors=broken)


@pytest.mark.parametrize("rank", [2, 4, 50])
def test_factors_of_a_matrix_and_of_its_root_are_the_same(rank: int) -> None:
    spanning = RNG.normal(size=(ITEMS, 4))
    mass = RNG.exponential(size=ITEMS) + 0.1
    settings = FoldInSettings(rank=rank, flattening=0.3, power=0.5)
    ours = from_matrix(spanning @ spanning.T, mass, settings).astype(float)
    root = from_factors(spanning, mass, settings).astype(float)
    assert ours.shape == root.shape == (ITEMS, min(rank, 4))
    np.testing.assert_allclose(ours @ ours.T, root @ root.T, atol=1e-4)
    assert (ours**2).sum() == pytest.approx(ITEMS)
    if rank >= 4:
        # With a power of one half the factors' products are the flattened co-occurrence itself, up to its unit.
        flat = mass[:, None] ** -0.3 * (spanning @ spanning.T) * mass[None, :] ** -0.3
        np.testing.assert_allclose(ours @ ours.T, flat * ITEMS / np.trace(flat), atol=1e-4)


def test_factors_of_nothing_are_nothing() -> None:
    settings = FoldInSettings()
    assert from_matrix(np.zeros((3, 3)), np.ones(3), settings).shape == (3, 0)
    assert from_factors(np.zeros((3, 2)), np.ones(3), settings).shape == (3, 0)
    assert not FoldIn(np.zeros((3, 0), np.float32), settings).scores(touched(Histories.of([[0]]), 3)).any()
