"""Readers of noisy sums who know who was asked, or what everybody else adds, against what is claimed for samples.

Sums are of cohorts as the server draws them, under the noise that it adds.  What a threshold on the sum tells of one
device, P(S > t) - e^epsilon P'(S > t), is measured and held to the delta that is claimed at epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fedrec import randomness
from fedrec.config import from_tree
from fedrec.privacy import accountant, balls_in_bins, composition, without_replacement
from fedrec.privacy.accountant import QueryCost, delta
from fedrec.privacy.dominating_pair import DominatingPair, from_profile
from fedrec.privacy.mechanism import GaussianMechanism
from fedrec.server.sampling import Sampler

DEVICES, COHORT, TARGET = 20, 2, 7
RATE, GROUPS = COHORT / DEVICES, DEVICES // COHORT
ROUNDS = 40_000
KEY = randomness.key(3, "cohorts")

Array = np.ndarray


def noise(multiplier: float, label: str) -> Array:
    return GaussianMechanism(multiplier, 1.0, 2.0**-20).noise(randomness.key(5, label), ROUNDS)


def cohorts(sampling: str) -> Array:
    """Who is asked in each round; bool [rounds, devices]."""
    training = {"sampling": sampling, "cohort": COHORT, "rounds": ROUNDS}
    sampler = Sampler(from_tree({"training": training}), DEVICES, KEY)
    asked = np.zeros((ROUNDS, DEVICES), dtype=bool)
    for number in range(ROUNDS):
        asked[number, list(sampler.cohort(number + 1))] = True
    return asked


def told(there: Array, gone: Array, epsilon: float) -> float:
    """The most that a threshold tells at epsilon, less four standard errors."""
    thresholds = np.quantile(np.concatenate([there, gone]), np.linspace(0.001, 0.999, 500))
    above = [1 - np.searchsorted(np.sort(one), thresholds, side="right") / len(one) for one in (there, gone)]
    error = np.sqrt(above[0] / len(there) + math.exp(2 * epsilon) * above[1] / len(gone))
    return float((above[0] - math.exp(epsilon) * above[1] - 4 * error).max())


def who_knows_the_cohort() -> float:
    """Looks at the rounds in which the device was asked, of cohorts that anybody can recompute."""
    drawn = cohorts("fixed")[:, TARGET]
    there, gone = noise(1.0, "there") + drawn, noise(1.0, "gone")
    return told(there[drawn], gone[drawn], 1.0)


def test_cohorts_that_anybody_can_recompute_are_claimed_to_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = QueryCost("training", 1.0, 1, "fixed", RATE)
    assert who_knows_the_cohort() <= delta([cost], 1.0)
    assert not cost.amplified
    # Without the difference between secret and known cohorts, less is claimed than is told.
    monkeypatch.setattr(QueryCost, "amplified", property(lambda self: self.probability < 1))
    assert who_knows_the_cohort() > 3 * delta([cost], 1.0)


def whose_others_add_the_opposite() -> float:
    """Knows nothing of the cohorts, but that all other devices add -1: a cohort without the device has one more."""
    asked = cohorts("fixed")
    values = np.full(DEVICES, -1.0)
    values[TARGET] = 0.0
    others = asked @ values
    there, gone = noise(0.5, "there") + others + asked[:, TARGET], noise(0.5, "gone") + others
    return told(there, gone, 1.0)


def as_poisson(noise_multiplier: float, probability: float, interval: float) -> DominatingPair:
    """The pair of a Poisson sample, in which nobody takes the device's place."""
    levels = interval * np.arange(math.ceil(60 / interval))
    inner = np.maximum(levels + np.log1p(-(1 - probability) * np.exp(-levels)), 1e-12) - math.log(probability)
    forth = probability * np.array([accountant.gaussian_delta(noise_multiplier, float(one)) for one in inner])
    back = without_replacement.without_over_with(noise_multiplier, probability, levels)
    return from_profile(interval, forth, np.minimum(back, forth))


def test_that_another_takes_the_place_of_who_is_not_drawn_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = QueryCost("training", 0.5, 1, "fixed", RATE, secret=True)
    assert cost.amplified
    found = whose_others_add_the_opposite()
    assert found <= delta([cost], 1.0) * 1.001
    assert found > 0.7 * delta([cost], 1.0)  # and it is no wild overstatement
    # Accounted as a Poisson sample, it tells more than is claimed.
    composition.composed.cache_clear()
    monkeypatch.setattr(without_replacement, "dominating_pair", as_poisson)
    assert found > 1.2 * delta([cost], 1.0)
    composition.composed.cache_clear()


def who_knows_the_dealing() -> float:
    drawn = cohorts("balls-in-bins")[:, TARGET]
    there, gone = noise(1.0, "there") + drawn, noise(1.0, "gone")
    return told(there[drawn], gone[drawn], 1.0)


@pytest.mark.parametrize("sampling", ["cyclic", "balls-in-bins"])
def test_a_dealing_that_is_known_is_claimed_to_hide_nothing(
    sampling: accountant.Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = QueryCost("training", 1.0, GROUPS, sampling, 1 / GROUPS, GROUPS)
    assert who_knows_the_dealing() <= delta([cost], 1.0)
    if sampling == "balls-in-bins":
        monkeypatch.setattr(QueryCost, "amplified", property(lambda self: self.probability < 1))
        assert who_knows_the_dealing() > 3 * delta([cost], 1.0)


def whole_epochs(epochs: int, read: Callable[[Array], Array], multiplier: float) -> float:
    """Reads the sums of whole runs, of one device among others that add nothing, dealt by keys of their own."""
    runs = 40_000
    dealt = randomness.prf_uint64(KEY, np.arange(runs, dtype=np.uint64), np.zeros(runs, np.uint64)) % np.uint64(GROUPS)
    shape = (runs, epochs, GROUPS)
    mechanism = GaussianMechanism(multiplier, 1.0, 2.0**-20)
    gone, there = (mechanism.noise(randomness.key(n, "runs"), math.prod(shape)).reshape(shape) for n in (1, 2))
    there[np.arange(runs), :, dealt.astype(np.int64)] += 1
    return told(read(there), read(gone), 1.0)


def test_several_epochs_of_one_dealing_are_counted_as_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group that stands out does so in every epoch; as if dealt anew each epoch, less would be claimed."""
    epochs, multiplier = 8, 1.6
    cost = QueryCost("training", multiplier, epochs * GROUPS, "balls-in-bins", 1 / GROUPS, GROUPS, secret=True)
    shift = math.sqrt(epochs) / multiplier

    def ratio(sums: Array) -> Array:
        by_group: Array = sums.sum(1) / (math.sqrt(epochs) * multiplier)
        return np.asarray(np.log(np.exp(shift * by_group - shift**2 / 2).mean(1)))

    found = whole_epochs(epochs, ratio, multiplier)
    assert 0.8 * delta([cost], 1.0) < found <= delta([cost], 1.0) * 1.001
    real = balls_in_bins.dominating_pair
    composition.composed.cache_clear()
    anew = [QueryCost("training", multiplier, GROUPS, "balls-in-bins", 1 / GROUPS, GROUPS, secret=True)] * epochs
    monkeypatch.setattr(accountant, "_normalised", _each_dealt_anew)
    assert found > 1.2 * delta(anew, 1.0)
    composition.composed.cache_clear()
    assert balls_in_bins.dominating_pair is real


def _each_dealt_anew(costs: list[QueryCost]) -> tuple[float, tuple[tuple[()], tuple[composition.DealtRounds, ...]]]:
    runs = tuple(
        composition.DealtRounds(one.minimum_separation, ((one.noise_multiplier, one.rounds),)) for one in costs
    )
    return 0.0, ((), runs)
