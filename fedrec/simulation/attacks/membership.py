"""Attack ``membership``: was this user in the training of the released model?"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.audit.attacks.ceiling import greatest_auc
from fedrec.audit.attacks.figures import auc_interval
from fedrec.audit.attacks.membership_model import lira, rmia
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import costs_of
from fedrec.ranking.score import Scorer, behaviour_scores
from fedrec.ranking.standardise import standardised
from fedrec.ranking.tower import TowerScorer
from fedrec.server.results import RunResult
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.attacks.world import defended
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.measure import scorer_of
from fedrec.simulation.study import Study
from fedrec.users import UserBatch

KINDS = ("log-probability", "behaviour", "behaviour, raw", "tower", "popularity")
_TEMPERATURE = 4.0


@dataclass(frozen=True)
class MembershipAttack:
    """LiRA against the whole release: tower, collaborative factors and popularity. RMIA beside it, in the note.

    ``models`` runs are made, each over a random half of the users, all with the budget and the delta of a run over so
    many users.  Each is the target once, with the others as references, for every user: models x users trials.  The
    adversary has the releases, the users' items and who was in the references; of a target nothing but its release.
    LiRA is the figure whatever comes out: the larger of two would lean upwards.

    Args:
        models: how many, at least 4.
        rounds: of training, at most as many as the config has.
    """

    name: str = "membership"
    paper: str = "Carlini et al. 2022, LiRA; Zarifzadeh et al. 2024, RMIA"
    models: int = 12
    rounds: int = 8
    _kept: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = field(default_factory=dict, repr=False)

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """LiRA's AUC over all models and users."""
        started = time.perf_counter()
        training = config.training.model_copy(update={"rounds": min(self.rounds, config.training.rounds)})
        config = defended(config.model_copy(update={"training": training}), defence, seed=seed)
        signals, members = self._signals(study, config, seed, reporter)
        rng = np.random.default_rng([seed, 8])
        figure = auc_interval(lira(signals, members), members, rng, resamples=200, both=True)
        other = auc_interval(rmia(signals[..., 0], members), members, rng, resamples=200, both=True)
        note = (
            f"LiRA; sees the release of {training.rounds} rounds and {self.models - 1} reference models; "
            f"RMIA {other.value:.3f} [{other.low:.3f}, {other.high:.3f}]{_theory(config, len(study.population) // 2)}"
        )
        if defence == "plain":
            note += "; the server itself sees who sends an update"
        seconds = time.perf_counter() - started
        return AttackResult(
            self.name, defence, "AUC", figure.value, figure.low, figure.high, 0.5, members.size, seconds, note
        )

    def _signals(
        self, study: Study, config: Config, seed: int, reporter: Reporter
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Signals [models, users, kinds] and members [models, users]; those of the last config are kept, because a
        secure sum is the same sum: what is released without noise does not depend on who saw the parts."""
        kept = f"{study.fingerprint()} {seed} {config.model_dump_json()}"
        if kept not in self._kept:
            users = len(study.population)
            rng = np.random.default_rng([seed, 7])
            members = np.zeros((self.models, users), np.bool_)
            signals = np.zeros((self.models, users, len(KINDS)))
            for model in range(self.models):
                members[model, rng.permutation(users)[: users // 2]] = True
                people = study.population.take(np.flatnonzero(members[model]))
                # Noise is drawn from the run's seed: each model needs its own.
                run = config.run.model_copy(update={"seed": int(rng.integers(2**62))})
                outcome = _release(config.model_copy(update={"run": run}), study, people)
                signals[model] = signals_of(config, study, outcome)
                reporter.progress(model + 1, self.models, "models")
            self._kept.clear()
            self._kept[kept] = (signals, members)
        return self._kept[kept]


def signals_of(config: Config, study: Study, outcome: RunResult) -> NDArray[np.float64]:
    """What a release says of each user's items, [users, KINDS]: each kind larger where the release knows the user."""
    population = study.population
    known = UserBatch(population.histories)
    scorer: Scorer = scorer_of(outcome.config, study, outcome.model, outcome.collaborative, outcome.features)
    owners = population.histories.owners
    counts = np.maximum(population.histories.lengths, 1)
    found = np.zeros((len(population), len(KINDS)))

    def mean(scores: NDArray[np.floating]) -> NDArray[np.float64]:
        own = scores[owners, population.histories.items].astype(np.float64)
        return np.bincount(owners, weights=own, minlength=len(population)) / counts

    total = scorer.parts_of(known).total.astype(np.float64) * _TEMPERATURE
    found[:, 0] = mean(total - np.logaddexp.reduce(total, axis=1, keepdims=True))
    if outcome.collaborative.rank:
        raw = behaviour_scores(outcome.collaborative, known.histories)
        found[:, 1], found[:, 2] = mean(standardised(raw)), mean(raw)
    if outcome.model is not None:
        tower = TowerScorer(outcome.model, outcome.features, history=config.model.history)
        found[:, 3] = mean(standardised(tower.scores(known)))
    popularity = outcome.collaborative.popularity[population.histories.items].astype(np.float64)
    found[:, 4] = np.bincount(owners, weights=popularity, minlength=len(population)) / np.sqrt(counts)
    return found


def _theory(config: Config, users: int) -> str:
    """The ceiling that the noise of a run over so many users puts on any attack, for the note; nothing without noise.

    Members are a half of fixed size, so that where a user is not, another is in its place.
    """
    costs = costs_of(config, users)
    if not costs:
        return ""
    one, replaced = greatest_auc(costs), greatest_auc(costs, changed=2)
    return (
        f"; at epsilon {config.privacy.epsilon:g} and delta {delta_of(config, users):.2g} no attack exceeds "
        f"{one:.3f} on whether a user was there, {replaced:.3f} on whether it was or another in its place"
    )


def _release(config: Config, study: Study, people: UserBatch) -> RunResult:
    """A run over some of the users, with its ledger, as any other."""
    budget = None
    if config.privacy.epsilon is not None:
        budget = Budget(config.privacy.epsilon, delta_of(config, len(people)), config.privacy.unit)
    devices = CohortDevices(config, study.features, people)
    with (
        tempfile.TemporaryDirectory() as directory,
        Ledger.open(Path(directory) / "ledger.sqlite", budget) as ledger,
        ServerState(None, "a reference model") as state,
    ):
        return FederatedRun(config, study.features, devices, ledger, state, lambda step: None).run()


ATTACK = MembershipAttack()
