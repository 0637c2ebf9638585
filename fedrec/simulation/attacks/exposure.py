"""Poisoning for exposure, over every query that ranking rests on: popularity, co-occurrence and training."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.audit.attacks.exposure import exposed
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.privacy.ledger import Ledger
from fedrec.queries.plan import budget_of
from fedrec.queries.request import Request
from fedrec.ranking.score import Scorer
from fedrec.server.private_aggregator import PrivateAggregator
from fedrec.server.results import AggregateResult, Devices, RunResult
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.attacks.poisoned import LIST, Attacker, PoisonedDevices, Reach
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.attacks.world import defended, with_bounded_parts
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.measure import scorer_of
from fedrec.simulation.study import Study

Listed = NDArray[np.bool_]
MALICIOUS = 0.01
TARGETS = 3
# The target is one of the least used items: below this quantile of the number of users.
_UNPOPULAR = 0.3
# How evenly the target is coupled with popular and unpopular items; of the powers of popularity tried, 0 to 1, the one
# that reached most users from within the bound.
SPREAD = 0.25
_RESAMPLES = 2000


@dataclass(frozen=True)
class Exposure:
    """1% malicious devices push an unpopular item into as many top-10 lists as they can.

    ``bounded``: they keep to the bound that devices clip to, as where the code on a device is attested, or a server
    that sees single contributions refuses larger ones.  Otherwise they send whatever the ring takes.  Plain federated
    averaging has no bound to keep to: there both send numbers of any size.
    """

    name: str
    bounded: bool
    paper: str = (
        "Rong, He and Chen 2022, Poisoning Deep Learning Based Recommender Model in Federated Learning Scenarios"
    )

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """See `Attack`. The figure: share of honest users who have not seen the target and have it in their list."""
        started = time.perf_counter()
        count, reach = malicious(study), self._reach(defence)
        settings = bounded(config, defence, seed).model_dump_json()
        found = _pushed(study, settings, reach, seed, ProgressListener(reporter))
        low, high = interval(list(found), seed)
        return AttackResult(
            self.name,
            defence,
            f"exposure@{LIST}",
            float(np.mean([one.mean() for one in found])),
            low,
            high,
            float(np.mean([one.mean() for one in _calm(study, settings, seed)])),
            len(found),
            time.perf_counter() - started,
            f"{count} of {count + len(study.population)} devices are malicious; {_WORDS[reach]}; the chance is the "
            "targets' exposure without an attack",
        )

    def _reach(self, defence: Defence) -> Reach:
        if defence == "plain":
            return "floats"
        return "bound" if self.bounded else "ring"


_WORDS: dict[Reach, str] = {
    "bound": "each keeps to the bound that honest devices clip to",
    "ring": "they send any elements of the ring, and the server holds the opened sum to rows x bound",
    "floats": "they send numbers of any size",
}


def bounded(config: Config, defence: Defence, seed: int) -> Config:
    """The config behind a defence, with a co-occurrence whose parts have a small bound to keep to."""
    config = defended(config, defence, seed=seed)
    return config.model_copy(
        update={
            "collaborative": with_bounded_parts(config.collaborative),
            "evaluation": config.evaluation.model_copy(update={"private_metrics": False}),
        }
    )


@dataclass(frozen=True)
class ProgressListener:
    """Who is told how far it is: no part of what a figure is kept under."""

    reporter: Reporter = field(compare=False)


# Two attacks, and two defences without noise, have runs in common: each is done once.
@lru_cache(maxsize=16)
def _pushed(study: Study, config_text: str, reach: Reach, seed: int, hearer: ProgressListener) -> tuple[Listed, ...]:
    """For each target: in whose list it is after an attack."""
    config = Config.model_validate_json(config_text)
    counts = _counts(study)
    targets = unpopular(counts, study, TARGETS, seed)
    found = []
    for number, target in enumerate(targets):
        hearer.reporter.progress(number, len(targets), "attacked runs")
        attacker = Attacker(malicious(study), int(target), reach, counts**SPREAD, seed)
        honest = CohortDevices(config, study.features, study.population)
        devices = PoisonedDevices(config, study.features, honest, attacker)
        outcome = outcome_of(config, study, devices, trusting=reach == "floats")
        found.append(listed(config, study, outcome, int(target)))
    return tuple(found)


@lru_cache(maxsize=8)
def _calm(study: Study, config_text: str, seed: int) -> tuple[Listed, ...]:
    """The same without an attack."""
    config = Config.model_validate_json(config_text)
    outcome = outcome_of(config, study, CohortDevices(config, study.features, study.population))
    targets = unpopular(_counts(study), study, TARGETS, seed)
    return tuple(listed(config, study, outcome, int(target)) for target in targets)


def malicious(study: Study) -> int:
    """How many devices the attacker adds: 1% of the honest ones, rounded up."""
    return math.ceil(MALICIOUS * len(study.population))


def _counts(study: Study) -> NDArray[np.float64]:
    return np.bincount(study.population.histories.items, minlength=len(study.features.ids)).astype(np.float64)


def unpopular(counts: NDArray[np.float64], study: Study, wanted: int, seed: int) -> NDArray[np.int64]:
    """Places of items that few users chose and whose content is known, drawn from the seed."""
    features = study.features
    known = np.logical_or.reduce([features.present[name] for name in features.modalities] or [counts >= 0])
    pool = np.flatnonzero(known & (counts <= np.quantile(counts[known], _UNPOPULAR)))
    return np.random.default_rng(seed).choice(pool, size=min(wanted, len(pool)), replace=False)


class _AnySums(PrivateAggregator):
    """Sums as plain federated averaging takes them: of any numbers."""

    def check_sum(self, request: Request, opened: AggregateResult, asked: int) -> None:
        """Looks at nothing."""


class _Trusting(FederatedRun):
    """The server of plain federated averaging."""

    private_aggregator = _AnySums


def outcome_of(config: Config, study: Study, devices: Devices, *, trusting: bool = False) -> RunResult:
    """A whole run of the server's own code over these devices; nothing of it is kept.

    ``trusting``: the server does not hold opened sums to what honest devices can give.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        Ledger.open(Path(directory) / "ledger.sqlite", budget_of(config, devices.users)) as ledger,
        ServerState(None, "attack") as state,
    ):
        server = _Trusting if trusting else FederatedRun
        return server(config, study.features, devices, ledger, state, lambda step: None).run()


def listed(config: Config, study: Study, outcome: RunResult, target: int) -> Listed:
    """For each honest user who has not seen the target: is it in the list that the device makes?"""
    scorer: Scorer = scorer_of(outcome.config, study, outcome.model, outcome.collaborative, outcome.features)
    parts = [
        exposed(scores, target, study.known.histories.take(users), LIST) for users, scores in scorer.blocks(study.known)
    ]
    return np.concatenate(parts)


def interval(found: list[Listed], seed: int) -> tuple[float, float]:
    """95% interval of the mean exposure: targets are drawn again, and for each its users."""
    draw = np.random.default_rng(seed)
    means, sizes = np.array([one.mean() for one in found]), np.array([len(one) for one in found])
    chosen = draw.integers(len(found), size=(_RESAMPLES, len(found)))
    again = draw.binomial(sizes[chosen], means[chosen]) / sizes[chosen]
    low, high = np.quantile(again.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


ATTACK = Exposure("exposure", bounded=True)
ATTACKS = (ATTACK, Exposure("exposure-unbounded", bounded=False))
