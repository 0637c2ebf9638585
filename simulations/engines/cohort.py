"""Engine ``cohort``: all rows of a cohort in one vectorised pass.

It computes the sum that devices' contributions would have, in the same ring, without a message or a mask, and says so
(``"protocol": "none"``).  For studies and sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from client.respond import Respondent
from client.turn import turn_of
from fedrec.aggregation.question import Question
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.privacy.local import own_spend
from fedrec.privacy.run_plan import is_local
from fedrec.randomness import fresh_key, key
from fedrec.training.learner import Update
from fedrec.training.population import Population
from server.run import Opened


class CohortDevices:
    """One device a user, all of them in this process."""

    def __init__(self, config: Config, features: Features, population: Population) -> None:
        self.population = population
        self.respondent = Respondent(config, features)

    @property
    def users(self) -> int:
        """How many users there are."""
        return len(self.population)

    @property
    def size(self) -> int:
        """How many devices there are: one a user."""
        return len(self.population)

    @property
    def last_update(self) -> Update | None:
        """Loss and clipped rows of the last training round: seen by the simulator, never sent by a device."""
        return self.respondent.last_update

    def ask(self, question: Question, cohort: Sequence[int]) -> Opened:
        """Answer for the whole cohort at once; the sum is rounded to the ring once instead of once a device.

        Noise that devices add is drawn once, with the variance of all shares: the same distribution, but for a factor
        within 1e-20 of 1 (`fedrec.privacy.distributed`).
        """
        if not len(cohort):
            return Opened(np.zeros(question.sum.length), 0, 0)
        asked = self.population
        if len(cohort) < len(asked):
            asked = asked.select(np.asarray(cohort, dtype=np.int64))
        if question.query == "training" and is_local(self.respondent.config):
            answer, rows = self._turns(question, asked), len(asked)
        else:
            answer, rows = self.respondent.answer(question, asked), self.respondent.rows(question, asked)
        share = question.sum.encode(answer, rows, key=self._key(question), devices=len(cohort))
        vector = question.sum.open(question.sum.add(None, share))
        return Opened(vector, len(cohort), question.sum.bytes_up * len(cohort))

    def _turns(self, question: Question, asked: Population) -> NDArray[np.float64]:
        """The sum of what devices contribute that each add their own noise: one after the other, as they are apart."""
        config, updates = self.respondent.config, []
        total = np.zeros(question.sum.length)
        for place, count in enumerate(asked.counts):
            one = asked.select(np.array([place]))
            noise = turn_of(config, question.round, own_spend(config, int(count), self.size), one)
            total += self.respondent.turn(question, one, noise)
            updates.append(self.respondent.last_update)
        seen = [update for update in updates if update is not None]
        rows, clipped = sum(update.rows for update in seen), sum(update.clipped for update in seen)
        self.respondent.last_update = Update(total, rows, sum(update.loss for update in seen), clipped)
        return total

    def _key(self, question: Question) -> bytes:
        run = self.respondent.config.run
        return key(run.seed, "rounding", question.query, question.round) if run.reproducible else fresh_key()
