"""A crafted catalogue gives each item asked about a column of the gradient, which is zero exactly without the item."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.audit.attacks.catalogue import columns, fingerprinted, matched
from fedrec.config import Config, from_tree
from fedrec.content.feature_table import Features
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.training.learner import Learner
from fedrec.users import Histories, UserBatch, keys_of

ITEMS, WIDTH = 30, 12
ASKED = np.array([3, 11, 17, 20])


@pytest.fixture
def features() -> Features:
    draw = np.random.default_rng(0)
    ids = tuple(f"i{place}" for place in range(ITEMS))
    values = {name: draw.normal(size=(ITEMS, WIDTH)).astype(np.float32) for name in ("text", "image")}
    return Features(ids, ids, values, {name: np.ones(ITEMS, np.bool_) for name in values})


def settings() -> Config:
    return from_tree({"model": {"dimension": 6, "warm_start": None}, "training": {"negatives": 4}})


def pool_without_asked() -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array([0, 1, 2, 29], np.int32)


def update(features: Features, history: list[int]) -> tuple[Learner, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    learner = Learner(settings(), features)
    population = UserBatch(Histories.of([history]), keys=keys_of(["u"]))
    return learner, learner.update(population, parameters.flatten(learner.model), pool_without_asked(), 1).gradient


def test_columns_say_which_items_a_device_trained_on(features: Features) -> None:
    crafted = fingerprinted(features, ASKED, "text")
    learner, sent = update(crafted, [11, 5, 20, 8, 9])
    found = np.linalg.norm(columns(learner.model, sent, "text", len(ASKED)), axis=1) > 0
    assert found.tolist() == [False, True, False, True]


def test_without_crafting_every_column_says_something_about_every_item(features: Features) -> None:
    learner, sent = update(features, [11, 5, 20, 8, 9])
    assert (np.linalg.norm(columns(learner.model, sent, "text", len(ASKED)), axis=1) > 0).all()


def test_a_crafted_catalogue_is_another_catalogue(features: Features) -> None:
    crafted = fingerprinted(features, ASKED, "text")
    assert crafted.digest() != features.digest()
    assert crafted.shapes == features.shapes
    rest = np.setdiff1d(np.arange(ITEMS), ASKED)
    np.testing.assert_array_equal(crafted.values["image"][rest], features.values["image"][rest])
    assert not crafted.present["image"][ASKED].any()
    assert not crafted.present["text"][rest].any()


def test_more_items_than_coordinates_are_refused(features: Features) -> None:
    with pytest.raises(ModelError):
        fingerprinted(features, np.arange(WIDTH + 1), "text")


def test_a_matched_score_is_the_length_along_what_is_expected() -> None:
    seen = np.array([[3.0, 4.0], [3.0, 4.0]])
    assert matched(seen, np.array([[0.0, 2.0], [0.0, 0.0]])).tolist() == [4.0, 5.0]
