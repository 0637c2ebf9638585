"""Sizes that follow from the noise: monotone, within bounds, settled once, and the same on both sides."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.config import from_tree
from fedrec.config.presets import with_preset
from fedrec.errors import ConfigError
from fedrec.queries.plan import costs_of
from fedrec.queries.schedule import asked_by
from fedrec.queries.sizing import LEAST_RANK, MOST_PAIRWISE_ITEMS, MOST_RANK, sized_by_noise, sizing_of


def auto(**tree: object) -> object:
    return with_preset(from_tree({"model": {"preset": "auto"}, **tree}))


@given(st.integers(2, 10**7), st.integers(3, 10**6), st.floats(1e-2, 1e3))
def test_sizes_are_within_bounds_and_shares_sum_to_one(users: int, items: int, noise: float) -> None:
    found = sizing_of(users, items, noise)
    assert 2 <= found.rank <= min(MOST_RANK, max(2, items - 1))
    assert found.rank >= min(LEAST_RANK, items - 1)
    assert 2 <= found.pairwise <= min(items, MOST_PAIRWISE_ITEMS)
    parts = [found.shares[name] for name in ("popularity", "factors", "directions") if name in found.shares]
    assert math.fsum(parts) == pytest.approx(1.0)
    assert all(0.05 < part < 0.96 for part in parts)
    assert ("directions" in found.shares) == (found.steps > 0)


@given(st.integers(2, 10**6), st.integers(3, 10**5), st.floats(0.05, 100.0))
def test_less_noise_never_asks_for_less(users: int, items: int, noise: float) -> None:
    loud, quiet = sizing_of(users, items, noise), sizing_of(users, items, noise / 2)
    assert quiet.rank >= loud.rank
    assert quiet.steps >= loud.steps
    assert quiet.pairwise >= loud.pairwise
    assert quiet.shares["popularity"] <= loud.shares["popularity"]


@pytest.mark.parametrize("epsilon", [None, 1.0, 8.0])
@pytest.mark.parametrize("unit", ["user", "example"])
def test_settled_once_it_is_settled_for_good_and_can_be_planned(epsilon: float | None, unit: str) -> None:
    config = auto(privacy={"epsilon": epsilon, "unit": unit, "delta": 1e-5})
    settled = sized_by_noise(config, 900, 500)
    assert sized_by_noise(settled, 17, 90_000) is settled
    assert from_tree(settled.model_dump()) == settled
    names = {query.name for query in asked_by(settled)}
    assert ("factors" in names) == (epsilon is not None and unit == "user")
    assert ("selection" in names) == (unit == "user")
    if epsilon is not None:
        assert {cost.query for cost in costs_of(settled, 900)} == names
        assert settled.privacy.shares.get("selection", 0.05) == pytest.approx(0.05)


def test_without_noise_a_catalogue_too_large_for_a_square_is_asked_by_power_iteration() -> None:
    assert sized_by_noise(auto(), 10_000, MOST_PAIRWISE_ITEMS).collaborative.cooccurrence.enabled
    assert sized_by_noise(auto(), 10_000, MOST_PAIRWISE_ITEMS + 1).collaborative.power_iteration.enabled


def test_content_that_is_not_there_leaves_co_occurrence_of_as_many_items_as_can_be_heard() -> None:
    config = auto(privacy={"epsilon": 1.0}, collaborative={"prior": {"weight": 0.0, "modalities": {}}})
    few, many = (sized_by_noise(config, users, 5_000).collaborative.cooccurrence.items for users in (300, 3_000))
    assert 2 <= few < many <= 5_000


def test_candidates_that_are_written_are_kept_and_others_follow_from_the_settings() -> None:
    own = {"candidates": {"a": {}, "b": {"scoring": {"discount": 0.5}}}, "default": "a"}
    assert set(sized_by_noise(auto(collaborative={"selection": own}), 90, 50).collaborative.selection.candidates) == {
        "a",
        "b",
    }
    made = sized_by_noise(auto(), 90, 50).collaborative
    assert made.selection.combine
    assert made.candidate("popularity").scoring.popularity_weight == 1.0


def test_settings_that_were_not_settled_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match="follows_noise"):
        costs_of(auto(privacy={"epsilon": 1.0}), 900)
