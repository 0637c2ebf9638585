"""Learning rates over the rounds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.config import TrainingSettings, from_tree
from fedrec.errors import ConfigError
from fedrec.queries.learning_rate import share_of_rate
from fedrec.queries.optimisers import Optimiser


def shares(schedule: str, rounds: int, warmup: int = 0) -> list[float]:
    settings = TrainingSettings.model_validate({"schedule": schedule, "rounds": rounds, "warmup": warmup})
    return [share_of_rate(number, settings) for number in range(1, rounds + 1)]


def test_known_rates() -> None:
    assert shares("constant", 4, 2) == [0.5, 1, 1, 1]
    assert shares("linear", 6, 2) == [0.5, 1, 1, 0.75, 0.5, 0.25]
    assert shares("cosine", 5, 1) == pytest.approx([1, 1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    assert TrainingSettings().schedule == "constant"
    assert set(shares("constant", 20)) == {1.0}


@given(st.sampled_from(["constant", "cosine", "linear"]), st.integers(1, 60), st.integers(0, 60))
def test_rates_rise_then_fall_and_stay_above_zero(schedule: str, rounds: int, warmup: int) -> None:
    warmup = min(warmup, rounds)
    found = shares(schedule, rounds, warmup)
    assert all(0 < share <= 1 for share in found)
    assert all(a <= b for a, b in pairwise(found[:warmup]))
    assert all(a >= b for a, b in pairwise(found[warmup:]))


def test_a_step_takes_its_share_and_moments_do_not() -> None:
    gradient = np.array([1.0, -2.0])
    for kind in ("sgd", "momentum", "adam"):
        whole, half = (Optimiser(kind, 0.1) for _ in range(2))  # type: ignore[arg-type]
        moved = whole.step(np.zeros(2), gradient), half.step(np.zeros(2), gradient, 0.5)
        np.testing.assert_allclose(moved[1], 0.5 * moved[0])
        assert whole.moments.keys() == half.moments.keys()
        assert all(np.array_equal(whole.moments[name], half.moments[name]) for name in whole.moments)


def test_a_warmup_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="warmup"):
        from_tree({"training": {"rounds": 3, "warmup": 4}})
