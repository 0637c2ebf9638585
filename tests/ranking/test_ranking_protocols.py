from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.queries.device.metrics import LENGTH, metric_rows
from fedrec.queries.metrics import BOUND
from fedrec.ranking.protocols import Blocks, HeldOut, evaluate, loo_99neg, loo_full
from fedrec.users import Histories

# 3 users, 6 items. User 0 finds item 2, user 1 item 5, user 2 is not measured.
SCORES = np.array([[9, 8, 5, 7, 5, 1], [0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]], dtype=np.float32)
HELD = HeldOut(
    training=Histories.of([[0], [1, 2], [3]]),
    target=np.array([2, 5, -1], np.int32),
    other=np.array([1, -1, -1], np.int32),
    negatives=np.array([[3, 5, -1], [-1, -1, -1], [0, 1, 2]], np.int32),
)


def all_at_once(scores: NDArray[np.float32] = SCORES) -> Blocks:
    return [(np.arange(len(scores)), scores)]


def test_both_protocols_by_hand() -> None:
    found = evaluate(all_at_once(), HELD, k=2)
    # User 0: candidates 2 3 4 5, target at 5 ties with item 4 behind item 3: place 2 or 3.
    # User 1: candidates 0 3 4 5, all tied.
    assert found.loo_full.users == 2
    assert found.loo_full.hr == pytest.approx((0.5 + 0.5) / 2)
    gains = (0.5 / math.log2(3), (1 + 1 / math.log2(3)) / 4)
    assert found.loo_full.ndcg == pytest.approx(sum(gains) / 2)
    assert found.loo_full.auc == pytest.approx((0.5 + 0.5) / 2)
    # Against negatives only user 0 can be measured: item 3 is better, item 5 is not.
    assert found.loo_99neg.users == 1
    assert found.loo_99neg.hr == 1.0
    assert found.loo_99neg.ndcg == pytest.approx(1 / math.log2(3))
    assert found.loo_99neg.hr_error is None
    assert found.loo_full.hr_error == 0.0
    assert found.top.tolist() == [[3, 2], [0, 3]]
    assert found.places.tolist() == [0, 1]
    assert found.coverage == pytest.approx(3 / 6)


def test_the_single_protocols_say_the_same() -> None:
    found = evaluate(all_at_once(), HELD, k=2)
    assert loo_full(all_at_once(), HELD, k=2) == found.loo_full
    assert loo_99neg(all_at_once(), HELD, k=2) == found.loo_99neg


def test_blocks_and_their_order_change_nothing() -> None:
    rng = np.random.default_rng(0)
    held, scores = population(rng, users=40, items=30)
    whole = evaluate([(np.arange(40), scores)], held)
    order = rng.permutation(40)
    parts = evaluate([(order[i : i + 7], scores[order[i : i + 7]]) for i in range(0, 40, 7)], held)
    for key, value in whole.as_dict().items():
        assert parts.as_dict()[key] == pytest.approx(value)


def test_a_constant_scorer_gets_ten_percent_against_99() -> None:
    rng = np.random.default_rng(1)
    held, scores = population(rng, users=50, items=300)
    found = evaluate([(np.arange(50), np.zeros_like(scores))], held)
    assert found.loo_99neg.hr == pytest.approx(0.10)
    assert found.loo_99neg.auc == pytest.approx(0.5)
    assert found.loo_full.auc == pytest.approx(0.5)


def test_a_negative_that_is_the_target_is_no_negative() -> None:
    held = HeldOut(
        training=Histories.of([[]]),
        target=np.array([0], np.int32),
        other=np.array([-1], np.int32),
        negatives=np.array([[0, 1]], np.int32),
    )
    assert loo_99neg([(np.array([0]), np.zeros((1, 3), np.float32))], held, k=1).hr == pytest.approx(0.5)


def test_neither_training_nor_the_other_item_can_take_a_place() -> None:
    rng = np.random.default_rng(2)
    held, scores = population(rng, users=30, items=40)
    before = evaluate([(np.arange(30), scores)], held)
    scores = scores.copy()
    scores[held.training.owners, held.training.items] = 1e6
    scores[np.arange(30), held.other] = 1e6
    after = evaluate([(np.arange(30), scores)], held)
    assert after.loo_full == before.loo_full
    for user, top in zip(after.places, after.top, strict=True):
        assert not set(top.tolist()) & {*held.training.take(np.array([user])).items.tolist(), int(held.other[user])}


def test_no_measured_user_gives_null_and_never_a_number() -> None:
    held = HeldOut(Histories.of([[0]]), np.array([-1], np.int32), np.array([-1], np.int32))
    found = evaluate([(np.array([0]), np.zeros((1, 3), np.float32))], held).as_dict()
    assert found["loo-full"] == found["loo-99neg"]
    assert isinstance(found["loo-full"], dict)
    assert found["loo-full"]["hr@10"] is None and found["loo-full"]["users"] == 0
    assert {"hr@10", "ndcg@10"} <= set(found["loo-full"]) and found["diversity@10"] is None
    assert found["coverage@10"] is None


def test_diversity_and_novelty_are_those_of_the_lists() -> None:
    vectors = np.eye(6)
    found = evaluate(all_at_once(), HELD, k=2, vectors=vectors)
    assert found.diversity == pytest.approx(1.0)
    # Training counts: items 0, 1, 2, 3 once each; 4 and 5 never. Lists [3, 2] and [0, 3]: 2 bits each.
    assert found.novelty == pytest.approx(2.0)


@pytest.mark.parametrize(
    "blocks",
    [
        [(np.array([0, 0]), SCORES[:2])],
        [(np.array([0]), SCORES[:1]), (np.array([0]), SCORES[:1])],
        [(np.array([9]), SCORES[:1])],
        [(np.array([-1]), SCORES[:1])],
        [(np.array([0]), SCORES[:2])],
        [(np.array([0]), SCORES[:1]), (np.array([1]), SCORES[:1, :4])],
        [(np.array([0]), SCORES[:1, :4])],
        [(np.array([1]), SCORES[:1, :2])],
        [(np.array([0]), np.full((1, 6), np.nan, np.float32))],
    ],
)
def test_blocks_that_make_no_sense_are_refused(blocks: Blocks) -> None:
    with pytest.raises(ModelError):
        evaluate(blocks, HELD)


def test_held_out_items_of_other_users_are_refused() -> None:
    with pytest.raises(ModelError, match="held-out"):
        HeldOut(Histories.of([[0]]), np.array([1, 2], np.int32), np.array([1], np.int32))


def test_contributions_sum_to_the_quality() -> None:
    rng = np.random.default_rng(3)
    held, scores = population(rng, users=60, items=50)
    target = held.target.copy()
    target[::7] = -1
    rows = metric_rows(scores, held.training, target, held.other)
    assert rows.shape == (60, LENGTH) and rows.dtype == np.float64
    assert not rows[::7].any()
    assert np.all(np.linalg.norm(rows, axis=1) <= BOUND + 1e-12)
    total = rows.sum(axis=0)
    quality = loo_full([(np.arange(60), scores)], HeldOut(held.training, target, held.other))
    assert total[2] == quality.users
    assert (total[0] / total[2], total[1] / total[2]) == (pytest.approx(quality.hr), pytest.approx(quality.ndcg))


def test_a_contribution_depends_on_the_own_scores_only() -> None:
    rng = np.random.default_rng(4)
    held, scores = population(rng, users=10, items=20)
    rows = metric_rows(scores, held.training, held.target, held.other)
    alone = metric_rows(scores[3:4], held.training.take(np.array([3])), held.target[3:4], held.other[3:4])
    np.testing.assert_array_equal(rows[3:4], alone)


def test_the_bound_is_reached_by_a_perfect_user() -> None:
    row = metric_rows(np.array([[1.0, 0.0]], np.float32), Histories.of([[]]), np.array([0], np.int32))
    assert np.linalg.norm(row) == pytest.approx(BOUND)


def test_a_population_like_movielens_takes_no_longer_than_a_few_sorts_of_its_scores() -> None:
    rng = np.random.default_rng(5)
    held, _ = population(rng, users=1500, items=3706, history=100, scored=False)

    def blocks() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        base = rng.random((256, 3706), dtype=np.float32)
        for start in range(0, 1500, 256):
            places = np.arange(start, min(start + 256, 1500))
            yield places, base[: len(places)]

    started = time.process_time()
    evaluate(blocks(), held)
    evaluated = time.process_time()
    for _, scores in blocks():
        np.argsort(scores, axis=1)
    # About half of it was seen; both are processor time of this run, so a slow machine changes nothing.
    assert evaluated - started < 5 * (time.process_time() - evaluated)


def population(
    rng: np.random.Generator, *, users: int, items: int, history: int = 5, scored: bool = True
) -> tuple[HeldOut, NDArray[np.float32]]:
    """Random histories, target, other item and 99 negatives (fewer in a small catalogue), all distinct for a user."""
    few = min(99, items - history - 2)
    rows = np.stack([rng.choice(items, size=history + 2 + few, replace=False) for _ in range(users)]).astype(np.int32)
    held = HeldOut(
        training=Histories.of(list(rows[:, :history])),
        target=rows[:, history],
        other=rows[:, history + 1],
        negatives=rows[:, history + 2 :],
    )
    return held, rng.normal(size=(users, items if scored else 0)).astype(np.float32)
