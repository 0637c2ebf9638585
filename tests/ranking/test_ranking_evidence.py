"""Parts weigh by what they tell: the discriminant by hand, who is new, and that nothing but rank information counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedrec.ranking.evidence import ERROR, OWN, TASTE, TASTE_HALF, StandardisedParts, own_known, taste_known
from fedrec.users import Histories

ITEMS = 400


def parts(seed: int, users: int = 3, count: int = 3, items: int = ITEMS) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    mixed = np.einsum("kui,kl->lui", rng.normal(size=(count, users, items)), rng.normal(size=(count, count)))
    return [one.astype(np.float32) for one in mixed]


def test_weights_are_the_discriminant_over_what_was_not_met() -> None:
    history = Histories.of([[0, 1, 2], [], list(range(200))])
    made = parts(0)
    mu = np.array([[2.0, 1.0, 1.5]] * 3)
    found = StandardisedParts(made, history).weights(mu)
    for user, met in enumerate(([0, 1, 2], [], list(range(200)))):
        left = np.delete(np.stack([one[user] for one in made]).astype(np.float64), met, axis=1)
        z = (left - left.mean(axis=1, keepdims=True)) / left.std(axis=1, keepdims=True)
        together = z @ z.T / z.shape[1] + ERROR * np.eye(3)
        wanted = np.linalg.solve(together, mu[user])
        if (wanted < 0).any():
            kept = wanted >= 0
            wanted = np.where(kept, 0.0, 0.0)
            part = np.linalg.solve(together[np.ix_(kept, kept)], mu[user][kept])
            assert (part >= 0).all()
            wanted[kept] = part
        np.testing.assert_allclose(found[user], wanted / left.std(axis=1), rtol=1e-3, atol=1e-5)


def test_of_the_right_means_no_other_weights_tell_better_apart() -> None:
    rng = np.random.default_rng(1)
    items, users = 2_000, 200
    root = np.linalg.cholesky(np.array([[1, 0.6, 0], [0.6, 1, 0.3], [0, 0.3, 1.0]]))
    mu = np.array([1.5, 0.9, 0.6])
    z = rng.normal(size=(users, items, 3)) @ root.T
    z[:, 0] += mu
    found = StandardisedParts([z[:, :, k].astype(np.float32) for k in range(3)], Histories.of([[]] * users))
    weights = found.weights(np.tile(mu, (users, 1)))

    def above(w: NDArray[np.floating]) -> float:
        score = np.einsum("uik,uk->ui", z, np.broadcast_to(w, (users, 3)))
        return float((score[:, :1] > score[:, 1:]).mean())

    best = above(weights)
    for other in ([1, 1, 1], [1, 0, 0], mu, [1.0, -0.5, 1.0], [0.5, 1, 1]):
        assert best > above(np.array(other, dtype=np.float64)) - 1e-3
    assert best > above(np.array([1.0, 1.0, 1.0])) + 0.005


@given(st.floats(0.1, 100), st.floats(-10, 10), st.integers(0, 5))
def test_size_and_offset_of_a_part_change_nothing_in_the_score(size: float, offset: float, seed: int) -> None:
    made, history = parts(seed, users=1, items=60), Histories.of([[4, 9]])
    mu = np.array([[1.0, 2.0, 0.5]])
    other = [made[0], (made[1] * np.float32(size) + np.float32(offset)), made[2]]
    one, two = StandardisedParts(made, history).weights(mu), StandardisedParts(other, history).weights(mu)
    np.testing.assert_allclose(two[0, [0, 2]], one[0, [0, 2]], rtol=2e-2, atol=1e-3)
    np.testing.assert_allclose(two[0, 1] * size, one[0, 1], rtol=2e-2, atol=1e-3)


def test_a_part_said_twice_weighs_no_more_than_said_once() -> None:
    one, other, _ = parts(3, users=1)
    mu = np.array([[1.5, 1.0]])
    once = StandardisedParts([one, other], Histories.of([[]])).weights(mu)[0]
    twice = StandardisedParts([one, other, one], Histories.of([[]])).weights(np.array([[1.5, 1.0, 1.5]]))[0]
    assert twice[0] == pytest.approx(twice[2], rel=1e-3)
    assert twice[0] + twice[2] == pytest.approx(once[0], rel=0.03)


def test_a_flat_part_and_one_without_evidence_weigh_nothing() -> None:
    made = [parts(0)[0], np.full((3, ITEMS), 7.0, np.float32), np.zeros((3, ITEMS), np.float32)]
    found = StandardisedParts(made, Histories.of([[], [1], [2, 3]])).weights(np.array([[1.0, 1.0, 1.0]] * 3))
    assert (found[:, 0] > 0).all() and not found[:, 1:].any()
    assert not StandardisedParts(made[:1], Histories.of([[], [1], [2, 3]])).weights(np.zeros((3, 1))).any()


def test_no_weight_is_below_zero_and_all_are_finite_whatever_was_met() -> None:
    met = Histories.of([np.arange(ITEMS), np.arange(ITEMS - 1), [], np.arange(ITEMS - 2)])
    for seed in range(20):
        made = parts(seed, users=4)
        for mu in ([5.0, 0.1, 0.1], [0.0, 3.0, 0.0], [1.0, 1.0, 1.0]):
            found = StandardisedParts(made, met).weights(np.array([mu] * 4))
            assert np.isfinite(found).all() and (found >= 0).all()


def test_events_are_counted_once_each() -> None:
    assert StandardisedParts(parts(0), Histories.of([[1, 1, 2], [], [5]])).events.tolist() == [2, 0, 1]


def test_what_is_known_grows_with_events_and_pieces_to_its_limit() -> None:
    assert taste_known(np.array([0]))[0] == 0 == own_known(np.array([0]))[0]
    events = taste_known(np.arange(1000))
    assert (np.diff(events) > 0).all() and events[-1] < TASTE
    assert taste_known(np.array([int(TASTE_HALF)]))[0] ** 2 == pytest.approx(TASTE**2 / 2)
    assert (np.diff(own_known(np.arange(50))) > 0).all() and own_known(np.array([10_000]))[0] < OWN


def test_popularity_is_expected_as_high_as_it_ranks_what_it_draws() -> None:
    popularity = np.zeros(ITEMS, np.float32)
    popularity[[3, 7]] = [3.0, 1.0]
    score = np.log(popularity + 0.1)[None]
    found = StandardisedParts([score], Histories.of([[]]))
    z = (score[0] - score[0].mean()) / score[0].std()
    assert found.by_popularity(0, popularity)[0] == pytest.approx(0.75 * z[3] + 0.25 * z[7], rel=1e-4)
    met = StandardisedParts([score], Histories.of([[3]]))
    left = np.delete(score[0], 3)
    assert met.by_popularity(0, popularity)[0] == pytest.approx((left.max() - left.mean()) / left.std(), rel=1e-4)
    assert StandardisedParts([score], Histories.of([[3, 7]])).by_popularity(0, popularity)[0] == 0


def test_a_history_that_a_part_does_not_speak_for_lowers_it_and_none_raises_it() -> None:
    made = np.repeat(parts(5, users=1, count=1)[0], 2, axis=0)
    order = np.argsort(made[0])
    worst, best = order[:30], order[-30:]
    found = StandardisedParts([made], Histories.of([worst, best]))
    lowered = found.held_to_history(0, np.array([1.0, 1.0]))
    assert lowered[0] < 0.5 and lowered[1] == 1.0
    assert StandardisedParts([made], Histories.of([[], []])).held_to_history(0, np.array([1.0, 2.0])).tolist() == [
        1.0,
        2.0,
    ]
