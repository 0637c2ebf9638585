"""The benchmarks of training run, and what they time beside us does what we do."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from fedrec.errors import ConfigError
from fedrec.simulation.bench import tower, w1
from fedrec.simulation.bench.w1_bound import Bound
from fedrec.simulation.bench.w1_pfl import pfl_pass
from fedrec.training.clipping import ClippedGradients


def test_the_bound_computes_what_we_compute() -> None:
    rows = w1.batch(3, 1)
    for bound in (0.05, 100.0):
        ours = ClippedGradients(w1.W1Model(), w1.loss, bound, "bookkeeping")(rows)[0]
        by_hand = Bound(w1.layers().parameters(), w1.WIDTHS, 3, w1.EXAMPLES)
        found = by_hand.over([(rows.candidates.values["features"], w1.labels_of(rows))], bound)
        np.testing.assert_allclose(found.numpy(), ours, rtol=1e-4, atol=1e-6)


def test_w1_runs_beside_its_bound() -> None:
    found = w1.run_w1(8, 0.0, against=["bound"])
    assert set(found["users_per_second"]) == {"fedrec", "bound"}
    assert found["times_as_fast"]["bound"] > 0
    assert found["users"] == {"fedrec": 8, "bound": 8}


@pytest.mark.skipif(importlib.util.find_spec("pfl") is not None, reason="pfl is installed")
def test_a_rival_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match="pfl-research is not installed"):
        pfl_pass(w1.layers, w1.user)


def test_the_tower_runs_and_every_user_is_a_row() -> None:
    found = tower.run_tower(40, 0.0)
    assert found["rows"] == 40
    assert found["flops_per_row"] > 0
    assert found["share_of_matmul"] > 0
    people = tower.population(500)
    for user in range(0, 500, 50):
        assert len(set(people.histories[user])) == len(people.histories[user]) >= 2


def test_a_clipped_step_is_timed_beside_a_plain_one() -> None:
    assert set(tower.run_dp(12, 0.0)["times_as_long"]) == {"user", "example"}
