"""Recency where nothing has a time: left to the devices, unless it was written or settings do not follow the noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedrec.config import from_tree
from fedrec.config.presets import with_preset
from fedrec.data.schema import Dataset
from fedrec.data.sources import read_data
from fedrec.queries.sizing import sized_by_noise
from fedrec.simulation.fit_order import fit_to_order
from fedrec.simulation.shop.generate import write_shop


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("order") / "shop"
    write_shop(place, users=20, seed=3)
    return read_data(place)


def untimed(dataset: Dataset) -> Dataset:
    nothing = np.full(len(dataset.interactions), -1, np.int64)
    return replace(dataset, interactions=replace(dataset.interactions, timestamp=nothing))


def auto(scoring: dict[str, Any]) -> Any:
    return with_preset(from_tree({"model": {"preset": "auto"}, "collaborative": {"scoring": scoring}}))


def test_without_times_all_events_count_alike_and_the_devices_may_choose_otherwise(timed: Dataset) -> None:
    config, said = fit_to_order(auto({}), untimed(timed))
    assert config.collaborative.scoring.recency == 0
    assert len(said) == 1 and "collaborative.scoring.recency" in said[0]
    assert fit_to_order(config, untimed(timed)) == (config, [])
    candidates = sized_by_noise(config, 90, 50).collaborative.selection.candidates
    assert candidates["recency"]["scoring"]["recency"] > 0
    assert "no recency" not in candidates


def test_with_times_or_as_written_or_where_nothing_follows_the_noise_it_stays(timed: Dataset) -> None:
    config = auto({})
    assert fit_to_order(config, timed) == (config, [])
    assert "no recency" in sized_by_noise(config, 90, 50).collaborative.selection.candidates
    written, other = auto({"recency": 0.4}), from_tree({"collaborative": {"scoring": {"recency": 0.4}}})
    for one in (written, other):
        assert fit_to_order(one, untimed(timed)) == (one, [])
