"""Evaluation that does not leak: having been a training negative must tell nothing about the held-out item.

A sampler that spares the test item makes a perfect ranker of "was never a negative": HR@10 of 1.0 for a model that
knows nothing.  The counter here is that ranker; with honest negatives it must be chance.
"""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.content.feature_table import Features
from fedrec.queries.negatives import uniform
from fedrec.randomness import key
from fedrec.ranking.protocols import HeldOut, evaluate
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.tables import Tables
from fedrec.users import Histories, UserBatch, keys_of

USERS, ITEMS, ROUNDS, POOL = 400, 300, 30, 60


@pytest.fixture(scope="module")
def world() -> tuple[UserBatch, np.ndarray, np.ndarray]:
    """Random users, their test items, and 99 evaluation negatives each, none of them touched."""
    rng = np.random.default_rng(11)
    orders = np.stack([rng.permutation(ITEMS) for _ in range(USERS)])
    counts = rng.integers(5, 40, USERS)
    items = np.concatenate([order[:count] for order, count in zip(orders, counts, strict=True)]).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    test = orders[:, 45].astype(np.int32)
    negatives = orders[:, 46:145].astype(np.int32)
    valid = np.full(USERS, -1, np.int32)
    keys = keys_of([str(u) for u in range(USERS)])
    return UserBatch(Histories(indptr, items), keys=keys, held_out=valid), test, negatives


def times_a_negative(people: UserBatch, spare: np.ndarray | None = None) -> np.ndarray:
    """How often each item was a real negative of each user, [users, items], over all rounds.

    Items are told apart by their one feature, which is their place.  ``spare``: an item that a leaking sampler would
    never draw for a user."""
    place = np.arange(ITEMS, dtype=np.float32)[:, None]
    tables = Tables(
        Features(tuple(map(str, range(ITEMS))), ("",) * ITEMS, {"text": place}, {"text": np.ones(ITEMS, bool)})
    )
    counted = np.zeros((USERS, ITEMS), np.float32)
    for number in range(1, ROUNDS + 1):
        drawn = uniform(0, number, ITEMS, POOL)
        start = 0
        for rows in build_rows(people, tables, drawn, RowShape(4, 8), key=key(0, "rows", number), batch_rows=128):
            items = rows.candidates.values["text"][:, rows.positives :, 0].numpy().astype(int)
            mask = rows.candidate_mask[:, rows.positives :].numpy()
            for row in range(rows.rows):
                counted[start + row, items[row][mask[row]]] += 1
            start += rows.rows
    if spare is not None:
        counted[np.arange(USERS), spare] = 0
    return counted


def hit_rate(people: UserBatch, scores: np.ndarray, test: np.ndarray, negatives: np.ndarray) -> float:
    held = HeldOut(people.histories, test, np.full(USERS, -1, np.int32), negatives)
    found = evaluate([(np.arange(USERS), scores)], held).loo_99neg.hr
    assert found is not None
    return found


def test_having_been_a_negative_predicts_nothing(world: tuple[UserBatch, np.ndarray, np.ndarray]) -> None:
    people, test, negatives = world
    counted = times_a_negative(people)
    noise = 4 * np.sqrt(0.1 * 0.9 / USERS)
    for ranker in (-counted, -(counted > 0).astype(np.float32), counted):
        assert abs(hit_rate(people, ranker, test, negatives) - 0.1) < noise


def test_the_measurement_would_find_a_leak(world: tuple[UserBatch, np.ndarray, np.ndarray]) -> None:
    people, test, negatives = world
    leaking = times_a_negative(people, spare=test)
    assert hit_rate(people, -leaking, test, negatives) > 0.9


def test_the_held_out_items_are_drawn_as_often_as_any(world: tuple[UserBatch, np.ndarray, np.ndarray]) -> None:
    people, test, _ = world
    drawn = times_a_negative(people)[np.arange(USERS), test].mean()
    expected = ROUNDS * POOL / ITEMS
    assert abs(drawn - expected) < 4 * np.sqrt(expected / USERS)
