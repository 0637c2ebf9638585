"""Preset auto end to end: untuned and private, it beats popularity, and says what it came to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedrec
from fedrec.errors import ConfigError
from fedrec.simulation.shop.generate import write_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("auto") / "shop"
    write_shop(place, users=150, seed=2)
    return place


@pytest.mark.parametrize("epsilon", [8.0, 1.0])
def test_it_is_not_below_private_popularity_at_the_same_epsilon(shop: Path, epsilon: float) -> None:
    record: dict[str, Any] = fedrec.simulate(data=shop, overrides={"privacy.epsilon": epsilon}).record
    assert record["config_asked"]["collaborative"]["follows_noise"]
    assert not record["config"]["collaborative"]["follows_noise"]
    assert record["selection"]["chosen"]
    assert record["privacy"]["epsilon_released"] <= epsilon
    assert {one["query"] for one in record["privacy"]["queries"]} >= {"popularity", "factors", "selection"}
    own, level = record["quality"]["loo-99neg"]["hr@10"], record["baselines"]["private popularity"]["hr@10"]
    # Far from a hair: on this shop it is more than twice as good.
    assert own > level + 0.05


def test_without_data_there_is_nothing_to_simulate() -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        fedrec.simulate()
