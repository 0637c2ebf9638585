"""Attack ``interactions``: which items did this user interact with? From an update, a sum, a noisy sum."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedrec.audit.attacks.figures import mean_interval, two_way_interval
from fedrec.audit.attacks.membership_updates import SupposedUser, infer, memberships
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.attacks.victims import choose_victims, paired_by_popularity, row_of
from fedrec.simulation.attacks.world import AttackedTraining, defended, training_only
from fedrec.simulation.study import Study


@dataclass(frozen=True)
class InteractionsAttack:
    """IMIA against one round of training.

    Of sums there are several, each the first round of a training of its own: a single one would say nothing about how
    much of its figure is the luck of its noise.

    Args:
        victims: how many updates are inverted.
        sums: how many sums are inverted, from 2.
        sum_victims: of how many users each sum is asked.
        steps: of gradient matching.
        least: events of a victim.
    """

    name: str = "interactions"
    paper: str = "Yuan et al. 2023, Interaction-level Membership Inference Attack Against Federated Recommender Systems"
    victims: int = 24
    sums: int = 8
    sum_victims: int = 400
    steps: int = 250
    least: int = 4

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """The mean AUC a victim over its interactions and as many equally popular items it never touched."""
        started = time.perf_counter()
        rng = np.random.default_rng([seed, 1])
        if defence == "plain":
            training = AttackedTraining(training_only(defended(config, defence, seed=seed)), study, study.population)
            found = self._of_updates(training, rng, reporter)
            figure, saw = mean_interval(found, rng), "one update of the victim"
        else:
            found = self._of_sums(study, config, defence, rng, reporter)
            figure = two_way_interval(found, rng)
            saw = f"one {'sum' if defence == 'secagg' else 'noisy sum'} over all devices; {self.sums} such sums"
        note = f"sees {saw}; items asked about are paired by popularity"
        seconds = time.perf_counter() - started
        trials = int(np.isfinite(found).sum())
        return AttackResult(
            self.name, defence, "AUC", figure.value, figure.low, figure.high, 0.5, trials, seconds, note
        )

    def _of_updates(
        self, training: AttackedTraining, rng: np.random.Generator, reporter: Reporter
    ) -> NDArray[np.float64]:
        """AUC of each victim's own update, [victims]."""
        people = choose_victims(training.population, self.victims, self.least, rng)
        found = np.zeros(len(people))
        for place, user in enumerate(people):
            scores = self._scores(training, training.update(int(user), 1))
            found[place] = _auc(training, int(user), scores, rng)
            reporter.progress(place + 1, len(people), "victims")
        return found

    def _of_sums(
        self, study: Study, config: Config, defence: Defence, rng: np.random.Generator, reporter: Reporter
    ) -> NDArray[np.float64]:
        """AUC of each sum for each victim, [sums, victims]."""
        people = choose_victims(study.population, self.sum_victims, self.least, rng)
        found = np.zeros((self.sums, len(people)))
        for number in range(self.sums):
            drawn = int(rng.integers(2**31))
            training = AttackedTraining(training_only(defended(config, defence, seed=drawn)), study, study.population)
            scores = self._scores(training, training.opened(None, 1))
            found[number] = [_auc(training, int(user), scores, rng) for user in people]
            reporter.progress(number + 1, self.sums, "sums")
        return found

    def _scores(self, training: AttackedTraining, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        return memberships(infer(supposed_user(training), seen, steps=self.steps))


def _auc(training: AttackedTraining, user: int, scores: NDArray[np.float64], rng: np.random.Generator) -> float:
    row = row_of(training.population, user, training.config, 1)
    return paired_by_popularity(training.population, user, row, len(training.study.features), rng).auc(scores)


def supposed_user(training: AttackedTraining, own: Mapping[str, Tensor] | None = None) -> SupposedUser:
    """A supposed user of a federation's first round."""
    places = np.arange(len(training.study.features))[None]
    items = training.learner.tables.batch(places, np.ones(places.shape, bool))
    return SupposedUser(training.model, items, training.request(1).arrays["pool"], own or {})


ATTACK = InteractionsAttack()
