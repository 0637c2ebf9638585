"""What a user's updates, and the sums they are in, tell about the user's gender and age."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.audit.attacks.attributes import cross_validated, disaggregate, principal
from fedrec.audit.attacks.figures import across_folds, auc_interval
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.errors import DataError
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.attacks.world import AttackedTraining, defended, training_only
from fedrec.simulation.study import Study

FOLDS: Final = 5
FEWEST: Final = 10  # users on either side of an attribute
AttributeLabels = Callable[[Study], NDArray[np.bool_]]


@dataclass(frozen=True)
class AttributeAttack:
    """A classifier over updates, trained on other users whose attribute the adversary knows.

    Behind a sum the adversary is the strongest that the protocol allows: it draws the cohorts, other devices each
    round, and so knows who is in every sum; it sends the same negatives each time; it estimates each device's mean
    update from the sums, and classifies the estimates.  Whoever follows every released model sees the same sums,
    without knowing the cohorts.

    Args:
        name, paper: as `result.Attack` says.
        labels: a yes or no for every user.
        rounds: of training that the adversary sees; with sums.
        own_rounds: the same, with single updates.
        share: of the devices that are in a cohort.
        components: principal components of the updates that the classifier reads.
    """

    name: str
    labels: AttributeLabels
    paper: str = "Melis et al. 2019, Unintended Feature Leakage; Lam et al. 2021, Gradient Disaggregation"
    rounds: int = 200
    own_rounds: int = 8
    share: float = 0.1
    components: int = 128

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """The AUC over all users, each scored by a classifier that was fitted without it."""
        started = time.perf_counter()
        rng = np.random.default_rng([seed, 5])
        labels = self.labels(study)
        users = len(study.population)
        _check_both(self.name, labels)
        if defence == "plain":
            training = AttackedTraining(
                training_only(defended(config, defence, seed=seed)), study, study.population, one_pool=True
            )
            features = self._updates(training, reporter)
            note = f"sees {self.own_rounds} updates of every device"
        else:
            chosen = self._sampled(training_only(defended(config, defence, seed=seed)), users)
            training = AttackedTraining(chosen, study, study.population, one_pool=True)
            features = disaggregate(*self._sums(training, reporter))
            what = "sums" if defence == "secagg" else "noisy sums"
            note = f"sees {self.rounds} {what} over cohorts of {round(self.share * users)} that it knows"
        scores = cross_validated(principal(features, self.components), labels, rng, folds=FOLDS)
        figure = across_folds(auc_interval(scores, labels, rng), FOLDS)
        seconds = time.perf_counter() - started
        return AttackResult(self.name, defence, "AUC", figure.value, figure.low, figure.high, 0.5, users, seconds, note)

    def _sampled(self, config: Config, users: int) -> Config:
        """Cohorts of a fixed size, accounted for the rounds that are seen and without amplification."""
        cohort = max(1, round(self.share * users))
        update = {"rounds": self.rounds, "sampling": "fixed", "cohort": cohort}
        return config.model_copy(update={"training": config.training.model_copy(update=update)})

    def _updates(self, training: AttackedTraining, reporter: Reporter) -> NDArray[np.float64]:
        users = len(training.population)
        found = np.zeros((users, len(training.values)))
        for user in range(users):
            for number in range(1, self.own_rounds + 1):
                found[user] += training.update(user, number)
            reporter.progress(user + 1, users, "updates")
        return found

    def _sums(self, training: AttackedTraining, reporter: Reporter) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        users, seed = len(training.population), training.config.run.seed
        participation = np.zeros((self.rounds, users))
        sums = np.zeros((self.rounds, len(training.values)))
        for place in range(self.rounds):
            key = randomness.key(seed, "cohorts of an adversary", place)
            cohort = np.sort(np.argsort(randomness.uniform(key, users))[: training.config.training.cohort])
            participation[place, cohort] = 1
            sums[place] = training.opened(cohort, place + 1)
            reporter.progress(place + 1, self.rounds, "sums")
        return participation, sums


def _check_both(name: str, labels: NDArray[np.bool_]) -> None:
    """Raises DataError unless some users have the attribute and some have not, so that folds see both."""
    fewest = int(min(labels.sum(), (~labels).sum()))
    if fewest < FEWEST:
        raise DataError(
            f"the attack {name} needs at least {FEWEST} users who have the attribute and as many who have not",
            path="users.csv",
            value=fewest,
            action="Leave this attack out for this data set",
        )


def column(study: Study, name: str) -> list[str]:
    """One column of a data set's users.csv, in the order of its users.

    Raises:
        DataError: no such file or column, or a user is missing in it.
    """
    directory = study.dataset.directory
    path = Path("users.csv") if directory is None else directory / "users.csv"
    try:
        if directory is None:
            raise FileNotFoundError
        with path.open(encoding="utf-8", newline="") as file:
            known = {row["user"]: row[name] for row in csv.DictReader(file)}
        return [known[user] for user in study.dataset.users]
    except (OSError, KeyError, UnicodeDecodeError):
        raise DataError(
            f"the attack needs users.csv with the columns user and {name}, and all users in it",
            path=path,
            action="Leave this attack out for this data set",
        ) from None


def women(study: Study) -> NDArray[np.bool_]:
    """Whether users.csv says of a user's gender F, or a word that begins so. Raises DataError as `column`."""
    return np.array([value.strip().upper().startswith("F") for value in column(study, "gender")])


def older(study: Study) -> NDArray[np.bool_]:
    """Whether a user's age, or the first age of its group, is above the median. Raises DataError as `column`."""
    found = [re.search(r"\d+", value) for value in column(study, "age")]
    ages = np.array([np.nan if one is None else float(one.group()) for one in found])
    return np.asarray(ages > np.median(ages[np.isfinite(ages)])) if np.isfinite(ages).any() else ages > 0


GENDER = AttributeAttack("attribute-gender", women)
AGE = AttributeAttack("attribute-age", older)
ATTACKS = (GENDER, AGE)
