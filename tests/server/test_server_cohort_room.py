"""How large a cohort can be, which is what sums have room for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import query_cases
from scipy import stats

from fedrec.config import from_tree
from fedrec.randomness import key
from fedrec.server.sampling import Sampler


def sampler(kind: str, cohort: int, devices: int, seed: int = 0) -> Sampler:
    training = {"sampling": kind, "cohort": cohort}
    return Sampler(from_tree({"training": training}), devices, key(seed, "cohorts"))


@pytest.mark.parametrize(("cohort", "devices"), [(1, 1000), (10, 300), (100, 6040), (3000, 6040)])
def test_a_poisson_cohort_that_is_cut_is_as_good_as_impossible(cohort: int, devices: int) -> None:
    drawn = sampler("poisson", cohort, devices)
    assert cohort < drawn.most <= devices
    assert stats.binom.logsf(drawn.most, devices, cohort / devices) < -64 * math.log(2)
    assert drawn.most < cohort + 10 * math.sqrt(cohort) + 40
    assert all(len(drawn.cohort(number)) <= drawn.most for number in range(20))


def test_a_group_of_balls_in_bins_has_room() -> None:
    drawn = sampler("balls-in-bins", 100, 6040)
    assert stats.binom.logsf(drawn.most, 6040, 1 / 61) < -64 * math.log(2)
    assert {len(drawn.cohort(number)) for number in range(1, 62)} != {99}


def test_a_cohort_is_cut_to_what_sums_have_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = sampler("poisson", 100, 1000)
    monkeypatch.setattr(Sampler, "most", 7)
    cohort = list(drawn.cohort(1))
    assert len(cohort) == 7
    assert cohort == sorted(set(cohort))


def test_other_cohorts_have_their_size() -> None:
    assert sampler("fixed", 30, 1000).most == len(sampler("fixed", 30, 1000).cohort(1)) == 30
    assert sampler("full", 30, 1000).most == len(sampler("full", 30, 1000).cohort(1)) == 1000


def test_a_sampled_sum_is_as_accurate_as_a_whole_one_of_its_size() -> None:
    """The grid follows the rows that are expected, the ring those that are possible."""
    values = np.zeros(5000, np.float32)
    few = query_cases.training(from_tree({"training": {"sampling": "poisson", "cohort": 100}}), 1, values, 50, 212).sum
    whole = query_cases.training(from_tree({}), 1, values, 50, 100).sum
    assert few.resolution <= 1.7 * whole.resolution
    assert few.resolution * math.sqrt(5000 / 600) <= 1e-3 / 8 * (1 + 2.0**-6)
    assert whole.ring.bits <= few.ring.bits <= whole.ring.bits + 2
