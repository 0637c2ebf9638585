"""Parts that ratings go into are within their bounds whatever the ratings, and what they say is what they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedrec.config import RatingSettings
from fedrec.queries.cooccurrence import USER_BOUND
from fedrec.queries.device.cooccurrence import used_pairs
from fedrec.queries.device.popularity import used_items
from fedrec.queries.device.power_iteration import projected
from fedrec.queries.device.rating_weights import rating_weights
from fedrec.queries.device.ratings import rated_apart
from fedrec.users import Histories, RatedItems, UserBatch

ITEMS = 12
SLACK = 1 + 1e-9
WILD = st.floats(-(2.0**127), 2.0**127, width=32, allow_nan=False, allow_subnormal=False)
RATINGS = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.one_of(WILD, st.sampled_from([1.0, 3.0, 5.0]), st.none())))


def user(events: list[tuple[int, float | None]]) -> UserBatch:
    """One user who met these items, each once, and gave those ratings."""
    met = dict(events)
    rated = {item: rating for item, rating in met.items() if rating is not None}
    values = np.array(list(rated.values()), np.float32)
    return UserBatch(Histories.of([list(met)]), rated=RatedItems(Histories.of([list(rated)]), values))


def norm(part: NDArray[np.float64]) -> float:
    assert np.isfinite(part).all()
    return float(np.linalg.norm(part))


@settings(max_examples=150, deadline=None)
@given(RATINGS, st.sampled_from([0.5, 1.0, 3.0, 8.0]), st.sampled_from([0, 1, 5, 40]))
def test_no_rating_moves_a_weighted_part_beyond_its_bound(
    events: list[tuple[int, float | None]], weight: float, weighting: int
) -> None:
    batch = user(events)
    weights = rating_weights(batch, RatingSettings(weight=weight))
    assert weights is not None and (weights > 0).all() and (weights <= 1).all()
    assert norm(used_items(batch, ITEMS, 1.0, weighting, weights)) <= SLACK
    for bound in (USER_BOUND, 1.0):
        pairs = used_pairs(
            batch,
            np.arange(ITEMS),
            ITEMS,
            normalise=1.0,
            bound=bound,
            short_history_weighting=weighting,
            by_rating=weights,
        )
        assert norm(pairs) <= bound * SLACK
    rng = np.random.default_rng(0)
    centre = np.full(ITEMS, ITEMS**-0.5)
    assert norm(projected(batch, centre, rng.normal(size=(ITEMS, 3)), 1.0, None, weights)) <= SLACK


@settings(max_examples=150, deadline=None)
@given(RATINGS)
def test_no_rating_moves_a_rated_part_beyond_its_bound(events: list[tuple[int, float | None]]) -> None:
    batch = user(events)
    assert batch.rated is not None
    part = rated_apart(batch.rated, ITEMS, RatingSettings())
    assert norm(part) <= SLACK and np.abs(part).max() <= 0.5**0.5 * SLACK


def test_a_part_of_unequal_weights_has_all_of_its_length() -> None:
    batch = user([(0, 1.0), (1, 5.0), (2, 3.0), (3, None)])
    weights = rating_weights(batch, RatingSettings(weight=1.0))
    assert weights is not None
    assert weights == pytest.approx([0.5, 1.0, 0.75, 1.0])
    part = used_items(batch, ITEMS, 1.0, 0, weights)
    assert norm(part) == pytest.approx(1.0)
    assert part[:4] / part[1] == pytest.approx([0.5, 1.0, 0.75, 1.0])


def test_equal_weights_change_nothing() -> None:
    batch = user([(item, 5.0) for item in range(5)])
    weights = rating_weights(batch, RatingSettings(weight=2.0))
    assert np.allclose(used_items(batch, ITEMS, 1.0, 8, weights), used_items(batch, ITEMS, 1.0, 8))
    said: dict[str, Any] = {"normalise": 1.0, "bound": USER_BOUND, "short_history_weighting": 2}
    plain = used_pairs(batch, np.arange(ITEMS), ITEMS, **said)
    assert np.allclose(used_pairs(batch, np.arange(ITEMS), ITEMS, **said, by_rating=weights), plain)
    vectors = np.random.default_rng(0).normal(size=(ITEMS, 2))
    centre = np.full(ITEMS, ITEMS**-0.5)
    assert np.allclose(projected(batch, centre, vectors, 1.0, None, weights), projected(batch, centre, vectors, 1.0))


@pytest.mark.parametrize("batch", [user([(0, 1.0)]), UserBatch(Histories.of([[0]]))])
def test_without_a_weight_or_ratings_all_count_alike(batch: UserBatch) -> None:
    assert rating_weights(batch, RatingSettings(weight=0.0 if batch.rated else 1.0)) is None


def test_a_rating_counts_beside_the_mean_of_its_user() -> None:
    batch = user([(0, 1.0), (1, 5.0), (2, 9.0)])  # 9 counts as 5, the highest
    assert batch.rated is not None
    told, counts = rated_apart(batch.rated, ITEMS, RatingSettings()).reshape(2, -1) * 6**0.5
    mean = (1 + 5 + 5) / 3
    assert told[:3] == pytest.approx([max((1 - mean) / 2, -1), (5 - mean) / 2, (5 - mean) / 2])
    assert counts[:4] == pytest.approx([1, 1, 1, 0])


def test_users_add_up() -> None:
    both = RatedItems(Histories.of([[0, 1], [], [1]]), np.array([1, 5, 2], np.float32))
    whole = rated_apart(both, ITEMS, RatingSettings())
    apart = [rated_apart(both.take(np.array([place])), ITEMS, RatingSettings()) for place in range(3)]
    assert whole == pytest.approx(sum(apart))
