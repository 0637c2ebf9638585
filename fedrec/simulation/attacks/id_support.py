"""Attack ``id-support``: what the rows of an id-embedding update reveal, and that a content update has no such rows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.audit.attacks.figures import mean_interval, two_way_interval
from fedrec.audit.attacks.support import id_update, support, support_scores
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.queries.plan import costs_of
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.server.keys import RunKeys
from fedrec.server.noise import ServerNoise
from fedrec.server.state import ServerState
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.attacks.victims import choose_victims, paired_by_popularity
from fedrec.simulation.attacks.world import AttackedTraining, defended, training_only
from fedrec.simulation.study import Study


@dataclass(frozen=True)
class IdSupportAttack:
    """A federation that trains an embedding an item, as others do and fedrec does not; the same server, noise and sums.

    Of sums there are several, each with a table, sampled negatives and noise of its own.

    Args:
        width: of an embedding.
        negatives: sampled by a device for each of its interactions.
        victims: about at most so many is asked.
        sums: how many sums are looked at, from 2.
        least: events of a victim.
    """

    name: str = "id-support"
    paper: str = "Ammad-ud-din et al. 2019, Federated Collaborative Filtering; Chai et al. 2020, Secure Federated MF"
    width: int = 16
    negatives: int = 4
    victims: int = 200
    sums: int = 10
    least: int = 4

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """The mean AUC a victim over its interactions and as many equally popular items it never touched."""
        started = time.perf_counter()
        rng = np.random.default_rng([seed, 3])
        people = choose_victims(study.population, self.victims, self.least, rng)
        asked = [
            paired_by_popularity(study.population, user, study.population.histories[user], len(study.features), rng)
            for user in people.tolist()
        ]
        if defence == "plain":
            config = training_only(defended(config, defence, seed=seed))
            table = self._table(study, rng)
            seen = {int(user): self._update(study, config, table, int(user), rng) for user in people}
            aucs = [one.auc(support_scores(seen[int(user)])) for one, user in zip(asked, people, strict=True)]
            found, saw = np.array(aucs), f"{_rows(study, seen)}; {_content(study, config, people[:8])}"
            figure = mean_interval(found, rng)
        else:
            found = np.zeros((self.sums, len(people)))
            for number in range(self.sums):
                fresh = training_only(defended(config, defence, seed=int(rng.integers(2**31))))
                scores = support_scores(self._sum(study, fresh, rng))
                found[number] = [one.auc(scores) for one in asked]
                reporter.progress(number + 1, self.sums, "sums")
            figure = two_way_interval(found, rng)
            saw = f"sees one {'sum' if defence == 'secagg' else 'noisy sum'} over all devices; {self.sums} such sums"
        seconds, trials = time.perf_counter() - started, int(np.isfinite(found).sum())
        note = f"an id-embedding model; {saw}"
        return AttackResult(
            self.name, defence, "AUC", figure.value, figure.low, figure.high, 0.5, trials, seconds, note
        )

    def _table(self, study: Study, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.normal(0, self.width**-0.5, (len(study.features), self.width))

    def _update(
        self, study: Study, config: Config, table: NDArray[np.float64], user: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        own = study.population.histories[user]
        return id_update(table, own, negatives=self.negatives, bound=config.privacy.clip, rng=rng)

    def _sum(self, study: Study, config: Config, rng: np.random.Generator) -> NDArray[np.float64]:
        """What all devices send together, with the noise of the defence, [items, width]."""
        table, users = self._table(study, rng), len(study.population)
        whole = _noise(config, table.shape, users)
        for user in range(users):
            whole += self._update(study, config, table, user, rng)
        return whole


def _noise(config: Config, shape: tuple[int, ...], users: int) -> NDArray[np.float64]:
    """The noise that the server adds to the sum of a model of that shape."""
    length, bits = int(np.prod(shape)), config.secure_aggregation.resolution_bits
    agreed = PrivateSum.of("training", length, config.privacy.clip, users, resolution_bits=bits)
    costs = {cost.query: cost for cost in costs_of(config, users)}
    return (
        ServerNoise(config, costs, RunKeys(config, ServerState(None, "attack")))
        .of(Request("training", 1, 1, agreed))
        .reshape(shape)
    )


def _rows(study: Study, seen: dict[int, NDArray[np.float64]]) -> str:
    """What the support alone tells: how many of the rows that moved are interactions, and how many of those moved."""
    precision, recall = [], []
    for user, received in seen.items():
        moved, own = support(received), study.population.histories[user]
        precision.append(float(np.isin(np.flatnonzero(moved), own).mean()))
        recall.append(float(moved[own].mean()))
    return f"of the rows that moved {np.mean(precision):.0%} are interactions, recall {np.mean(recall):.0%}"


def _content(study: Study, config: Config, people: NDArray[np.int64]) -> str:
    """The same request to fedrec's own model: whose numbers move at all?"""
    training = AttackedTraining(config, study, study.population)
    shares = [float(np.mean(training.update(int(user), 1) != 0)) for user in people]
    return f"fedrec's own updates have no row an item: {min(shares):.0%} to {max(shares):.0%} of their numbers move"


ATTACK = IdSupportAttack()
