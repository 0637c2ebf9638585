"""Attack ``interactions``: which items did this user interact with? From an update, a sum, a noisy sum."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedrec.audit.attacks.figures import mean_interval
from fedrec.audit.attacks.membership_updates import SupposedUser, infer, memberships
from fedrec.config import Config
from fedrec.console import Reporter
from simulations.attacks.result import AttackResult, Defence
from simulations.attacks.victims import choose, paired_by_popularity, row_of
from simulations.attacks.world import Training, defended, training_only
from simulations.study import Study

_SAW = {
    "plain": "one update of the victim",
    "secagg": "the sum over all devices",
    "user-dp-8": "the noisy sum over all devices",
    "user-dp-1": "the noisy sum over all devices",
}


@dataclass(frozen=True)
class InteractionsAttack:
    """IMIA against one round of training; ``victims``: how many updates are inverted (a sum is inverted once)."""

    name: str = "interactions"
    paper: str = "Yuan et al. 2023, Interaction-level Membership Inference Attack Against Federated Recommender Systems"
    victims: int = 24
    steps: int = 250
    least: int = 4

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """The mean AUC a victim over its interactions and as many equally popular items it never touched."""
        started = time.perf_counter()
        rng = np.random.default_rng([seed, 1])
        training = Training(training_only(defended(config, defence, seed=seed)), study, study.population)
        plain = defence == "plain"
        people = choose(study.population, self.victims if plain else len(study.population), self.least, rng)
        whole = None if plain else self._scores(training, training.opened(None, 1))
        found = []
        for done, user in enumerate(people):
            scores = whole if whole is not None else self._scores(training, training.update(int(user), 1))
            row = row_of(study.population, int(user), training.config, 1)
            found.append(paired_by_popularity(study.population, int(user), row, len(study.features), rng).auc(scores))
            reporter.progress(done + 1, len(people), "victims")
        figure = mean_interval(found, rng)
        note = f"sees {_SAW[defence]}; items asked about are paired by popularity"
        seconds = time.perf_counter() - started
        trials = int(np.isfinite(found).sum())
        return AttackResult(
            self.name, defence, "AUC", figure.value, figure.low, figure.high, 0.5, trials, seconds, note
        )

    def _scores(self, training: Training, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        return memberships(infer(supposed_user(training), seen, steps=self.steps))


def supposed_user(training: Training, own: Mapping[str, Tensor] | None = None) -> SupposedUser:
    """A supposed user of a federation's first round."""
    places = np.arange(len(training.study.features))[None]
    items = training.learner.tables.batch(places, np.ones(places.shape, bool))
    return SupposedUser(training.model, items, training.question(1).arrays["pool"], own or {})


ATTACK = InteractionsAttack()
