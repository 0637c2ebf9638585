"""A reader of a run who sees that a Poisson sample was too small: the coin of the last device hides nothing then."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from federation_cases import settings as settings_of
from scipy.special import ndtr

from fedrec.api.config_plan import report
from fedrec.config import Config, from_tree
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.calibrate import delta_for
from fedrec.server.sampled_cohorts import delta_of_samples, too_small

DEVICES, LEAST, SHARE, NOISE = 20, 12, 0.5, 2.0


def config_of(cohort: int, protocol: str = "secagg+", least: int = LEAST, **training: Any) -> Config:
    return settings_of(
        training={"sampling": "poisson", "cohort": cohort, "rounds": 5, **training},
        secure_aggregation={"protocol": protocol, "minimum_cohort": least, "minimum_survivors": min(least, 10)},
    )


def outcome_deltas(level: float) -> tuple[float, float]:
    """The true delta of one round at ``level``, of a row at distance 1 beside ``DEVICES - 1`` others that add a large
    vector each at right angles to it (so that the number in the sum is seen), and what is accounted without samples."""
    others = np.arange(DEVICES)
    chances = np.array([math.comb(DEVICES - 1, k) * SHARE**k * (1 - SHARE) ** (DEVICES - 1 - k) for k in others])
    true = 0.0
    for count, chance in zip(others, chances, strict=True):
        if count >= LEAST:  # the sum is opened whether the row is in it or not
            true += chance * mixture_delta(SHARE, level)
        elif count == LEAST - 1:  # it is opened only where the row is in it, and then it is in it for certain
            true += chance * SHARE * gaussian_delta(level)
    return true, mixture_delta(SHARE, level)


def gaussian_delta(level: float) -> float:
    return float(ndtr(0.5 / NOISE - level * NOISE) - math.exp(level) * ndtr(-0.5 / NOISE - level * NOISE))


def mixture_delta(share: float, level: float) -> float:
    """Of (1 - q) N(0) + q N(1) against N(0), by numerical integration; the direction that costs more."""
    x = np.linspace(-12 * NOISE, 12 * NOISE + 1, 200_001)
    zero, one = (np.exp(-((x - at) ** 2) / (2 * NOISE**2)) / (NOISE * math.sqrt(2 * math.pi)) for at in (0, 1))
    mixed, step = (1 - share) * zero + share * one, x[1] - x[0]
    up = np.maximum(mixed - math.exp(level) * zero, 0).sum() * step
    down = np.maximum(zero - math.exp(level) * mixed, 0).sum() * step
    return float(max(up, down))


@pytest.mark.parametrize("level", [0.4, 0.8, 1.2])
def test_a_small_sample_shows_more_than_was_accounted_and_no_more_than_is_stated(level: float) -> None:
    true, accounted = outcome_deltas(level)
    chance = too_small(DEVICES - 1, SHARE, LEAST, 1)
    assert true <= accounted + chance
    if level > 1:
        assert true > accounted, "without the chance of small samples the statement would not hold"


def test_the_chance_is_in_what_is_stated() -> None:
    config = config_of(52, least=20)
    found = delta_of_samples(config, 100, 100)
    assert found == too_small(99, 0.52, 20, 5) > 0
    grid = config.model_copy(update={"run": config.run.model_copy(update={"engine": "grid"})})
    plan = report(grid, 100, checks=False)["privacy"]
    assert plan["delta"] == pytest.approx(delta_for(100) + found)
    assert plan["delta_of_samples"] == found
    (noise,) = (query["noise_multiplier"] for query in plan["queries"] if query["query"] == "training")
    assert epsilon([QueryCost("training", noise, 5, "poisson", 0.52)], delta_for(100)) <= plan["epsilon_released"]


def test_groups_of_balls_in_bins_are_dealt_once() -> None:
    found = delta_of_samples(config_of(25, least=3, sampling="balls-in-bins", rounds=50), 100, 100)
    assert found == too_small(99, 0.25, 3, 4) > 0


def test_samples_of_groups_are_drawn_of_the_groups() -> None:
    found = delta_of_samples(config_of(25, least=3, sampling="cyclic-poisson", groups=2, rounds=50), 100, 100)
    assert found == too_small(49, 0.5, 3, 50) > 0


@pytest.mark.parametrize(
    "config",
    [
        config_of(52, "none"),
        config_of(52, sampling="fixed"),
        config_of(0),
        from_tree({"training": {"sampling": "poisson", "cohort": 52}, "secure_aggregation": {"protocol": "secagg+"}}),
    ],
)
def test_nothing_is_added_where_no_amplification_is_claimed(config: Config) -> None:
    assert delta_of_samples(config, 100, 100) == 0.0


def test_devices_that_hold_several_users_are_accounted_without_amplification() -> None:
    assert delta_of_samples(config_of(52, least=20), 300, 100) == 0.0
