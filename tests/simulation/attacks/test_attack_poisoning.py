"""Poisoning and catalogue manipulation in a small world: they work without a defence, and are stopped with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import query_cases
import torch

from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.errors import SumError
from fedrec.simulation.attacks import catalogue, exposure
from fedrec.simulation.attacks.poisoned import Attacker, PoisonedDevices, Reach
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare

pytestmark = pytest.mark.slow

SETTINGS = from_tree(
    {
        "content": {"text": {"dimension": 24, "vocabulary": 512}, "image": {"dimension": 8}},
        "model": {"dimension": 8},
        "training": {"rounds": 3, "learning_rate": 0.02, "negatives": 48},
        "speed": {"threads": 1},
    }
)
IN_BOUND, UNBOUNDED = exposure.ATTACKS


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    torch.set_num_threads(1)
    directory: Path = tmp_path_factory.mktemp("attacked")
    write_shop(directory / "shop", users=80, items=150, seed=2)
    with mock.patch.dict(os.environ, {"FEDREC_CACHE": str(directory / "cache")}):
        yield prepare(SETTINGS, directory / "shop", SilentReporter())


def run(attack: exposure.Exposure | catalogue.Raifle, study: Study, defence: Defence) -> AttackResult:
    result = attack.run(study, SETTINGS, defence, seed=0, reporter=SilentReporter())
    assert result.low <= result.value <= result.high
    assert (result.attack, result.defence) == (attack.name, defence)
    return result


def test_without_bounds_one_device_in_a_hundred_fills_everybodys_list(study: Study) -> None:
    assert run(IN_BOUND, study, "plain").value > 0.5


def test_within_the_bound_the_lists_are_the_users_own_again(study: Study) -> None:
    """Among 80 people with few events each, one device says more than one in a hundred; the figure of a tenth is for
    ml100k-mm."""
    without, within = run(IN_BOUND, study, "plain"), run(IN_BOUND, study, "secagg")
    assert within.value <= without.value / 4
    assert within.high < without.low / 2


def test_a_masked_sum_does_not_bound_a_device_that_sends_what_it_likes(study: Study) -> None:
    """What secure aggregation does not stop is shown as it is, not hidden."""
    assert run(UNBOUNDED, study, "secagg").value > 0.5


def poisoned(study: Study, config: Config, reach: Reach, devices: int = 1) -> PoisonedDevices:
    weights = np.ones(len(study.features.ids))
    honest = CohortDevices(config, study.features, study.population)
    return PoisonedDevices(config, study.features, honest, Attacker(devices, 5, reach, weights, 0))


def test_the_server_stops_at_a_sum_that_no_honest_cohort_can_give(study: Study) -> None:
    config = exposure.bounded(SETTINGS, "secagg", 0)
    with pytest.raises(SumError, match="more than 81 rows"):
        exposure.outcome_of(config, study, poisoned(study, config, "floats"))


def test_malicious_devices_within_the_bound_add_at_most_their_bounds(study: Study) -> None:
    config = exposure.bounded(SETTINGS, "secagg", 0)
    request = query_cases.popularity(config, len(study.features), len(study.population) + 3)
    devices = poisoned(study, config, "bound", devices=3)
    honest = CohortDevices(config, study.features, study.population).aggregate(request, range(len(study.population)))
    added = devices.aggregate(request, range(devices.size)).vector - honest.vector
    assert np.linalg.norm(added) == pytest.approx(3.0, rel=1e-5)
    assert added.argmax() == 5
    # A cohort without them is an honest one.
    np.testing.assert_array_equal(devices.aggregate(request, range(len(study.population))).vector, honest.vector)


def test_raifle_reads_plain_updates_and_not_sums_with_noise(study: Study) -> None:
    plain = run(catalogue.ATTACK, study, "plain")
    assert plain.low > 0.8
    for defence in ("secagg", "user-dp-1"):
        assert run(catalogue.ATTACK, study, defence).value < plain.value - 0.2
    private = run(catalogue.ATTACK, study, "user-dp-1")
    assert private.low - 0.05 <= 0.5 <= private.high + 0.05


def test_the_same_seed_gives_the_same_figures(study: Study) -> None:
    first, again = (run(catalogue.ATTACK, study, "user-dp-8") for _ in range(2))
    assert (first.value, first.low, first.trials) == (again.value, again.low, again.trials)


def test_auc_of_known_scores() -> None:
    assert catalogue.auc(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx(0.875)
    assert catalogue.auc(np.ones(5), np.ones(7)) == 0.5
