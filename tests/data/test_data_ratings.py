"""Which events are positive and which rating counts: one rule, for a data set in memory and for a device's store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrec.client.load_population import load_population
from fedrec.config import Config, from_tree
from fedrec.content.feature_table import Features
from fedrec.data.ratings import is_positive
from fedrec.data.schema import TEST, TRAIN, UNSPLIT, VALID, Dataset, Interactions, ItemRecord, LeaveOneOut
from fedrec.data.splits import split
from fedrec.data.store import EventStore
from fedrec.data.stores import write_stores
from fedrec.errors import ConfigError
from fedrec.simulation.study import Study, assemble

ITEMS = 6
NAN = float("nan")


def dataset(rows: list[tuple[int, int, float, int]], users: int, given: LeaveOneOut | None = None) -> Dataset:
    """Rows of (user, item, rating, mark), in time order for each user."""
    ordered = sorted(enumerate(rows), key=lambda pair: (pair[1][0], pair[0]))
    user, item, rating, mark = (np.array([row[part] for _, row in ordered]) for part in range(4))
    table = Interactions(
        user.astype(np.int32),
        item.astype(np.int32),
        rating.astype(np.float32),
        np.arange(len(rows), dtype=np.int64),
        mark.astype(np.int8),
    )
    items = tuple(ItemRecord(f"i{place}", "") for place in range(ITEMS))
    return Dataset("tiny", None, tuple(f"u{place}" for place in range(users)), items, table, given)


def config(rule: Any) -> Config:
    return from_tree({"data": {"positive_ratings": rule}, "collaborative": {"ratings": {"predict": True}}})


def study_of(data: Dataset, rule: Any) -> Study:
    ids = tuple(item.id for item in data.items)
    return assemble(config(rule), data, Features(ids, ids, {}, {}), {})


@pytest.mark.parametrize(
    ("rule", "positive"), [("all", [True] * 4), (4.0, [False, True, True, True]), (5, [False, False, True, True])]
)
def test_what_is_rated_high_or_not_at_all_is_positive(rule: Any, positive: list[bool]) -> None:
    assert is_positive(np.array([3.9, 4.0, 5.0, NAN]), rule).tolist() == positive


def test_what_is_rated_low_neither_trains_nor_is_held_out() -> None:
    rows = [(0, item, rating, UNSPLIT) for item, rating in enumerate([5.0, 1.0, 4.0, NAN, 5.0, 2.0])]
    held = split(dataset(rows, 1), positive_ratings=4.0)
    assert held.training[0].tolist() == [0, 2]
    assert (held.valid.tolist(), held.test.tolist()) == ([3], [4])
    assert held.rated.tolist() == [0, 1, 2, 5]
    everything = split(dataset(rows, 1))
    assert (everything.valid.tolist(), everything.test.tolist()) == ([4], [5])
    assert everything.training[0].tolist() == [0, 1, 2, 3]


def test_a_marked_or_given_item_that_was_rated_low_is_not_held_out() -> None:
    rows = [(0, 0, 5.0, TRAIN), (0, 1, 1.0, TEST), (0, 2, 5.0, VALID)]
    held = split(dataset(rows, 1), positive_ratings=3.0)
    assert (held.valid.tolist(), held.test.tolist()) == ([2], [-1])
    given = LeaveOneOut(np.array([1], np.int32), np.array([5], np.int32), np.full((1, 2), -1, np.int32))
    held = split(dataset([(0, 0, 5.0, UNSPLIT), (0, 1, 1.0, UNSPLIT)], 1, given), positive_ratings=3.0)
    assert (held.valid.tolist(), held.test.tolist()) == ([-1], [5]), "of item 5 nobody knows that it was disliked"


def test_what_was_disliked_is_no_evaluation_negative_and_no_candidate() -> None:
    rows = [(0, item, 5.0 if item else 1.0, UNSPLIT) for item in range(4)]
    data = dataset(rows, 1)
    study = study_of(data, 3.0)
    assert study.held_out.training[0].tolist() == [0, 1] and study.population.histories[0].tolist() == [1]
    assert study.held_out.negatives is not None
    assert 0 not in study.held_out.negatives[0].tolist()


Row = tuple[int, int, float, int]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, ITEMS - 1),
        st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, NAN]),
        st.sampled_from([UNSPLIT, UNSPLIT, UNSPLIT, VALID, TEST]),
    ),
    max_size=24,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, st.sampled_from(["all", 3.0, 4.0]))
def test_a_device_finds_in_its_store_what_the_simulation_holds(
    rows: list[tuple[int, int, float, int]], rule: Any
) -> None:
    study = study_of(dataset(rows, 3), rule)
    with tempfile.TemporaryDirectory() as place:
        for user, path in enumerate(write_stores(study.dataset, study.split, Path(place) / "stores")):
            with EventStore.open(path) as store:
                found = load_population(store, study.features.index, positive_ratings=rule, ratings=True).population
            own = study.population.take(np.array([user]))
            assert found.histories.items.tolist() == own.histories.items.tolist()
            assert found.targets.tolist() == own.targets.tolist()
            assert found.rated is not None and own.rated is not None
            assert ratings(found) == ratings(own)


def ratings(batch: Any) -> dict[int, float]:
    return dict(zip(batch.rated.items.items.tolist(), batch.rated.values.tolist(), strict=True))


def test_without_settings_that_use_them_nobody_reads_ratings() -> None:
    data = dataset([(0, 0, 5.0, UNSPLIT)], 1)
    ids = tuple(item.id for item in data.items)
    assert assemble(from_tree({}), data, Features(ids, ids, {}, {}), {}).population.rated is None


def test_ratings_of_an_impossible_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="lowest must be below"):
        from_tree({"collaborative": {"ratings": {"lowest": 5.0, "highest": 5.0}}})


@pytest.mark.parametrize("ratings", [{"predict": True}, {"weight": 1.0}])
def test_of_single_interactions_ratings_are_refused(ratings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"privacy\.unit=user"):
        from_tree({"privacy": {"unit": "example"}, "collaborative": {"ratings": ratings}})
