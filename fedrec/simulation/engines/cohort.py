"""Engine ``cohort``: all rows of a cohort in one vectorised pass.

It computes the sum that devices' contributions would have, in the same ring, without a message or a mask, and says so
(``"protocol": "none"``).  For studies and sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedrec.client.query_handler import QueryHandler
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.privacy.local import local_cost
from fedrec.queries.request import Request
from fedrec.randomness import fresh_key, key
from fedrec.server.results import AggregateResult
from fedrec.training.local_noise import local_noise_of
from fedrec.training.update import Update
from fedrec.users import UserBatch


class CohortDevices:
    """One device a user, all of them in this process."""

    def __init__(self, config: Config, features: Features, population: UserBatch) -> None:
        self.population = population
        self.handler = QueryHandler(config, features)
        self._updates: list[Update | None] = []

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
        """Loss and clipped rows of the last sum, of all its devices: seen by the simulator, never sent by a device."""
        seen = [update for update in self._updates if update is not None]
        if len(seen) < 2:
            return seen[0] if seen else None
        rows, clipped = sum(update.rows for update in seen), sum(update.clipped for update in seen)
        return Update(np.zeros(0), rows, sum(update.loss for update in seen), clipped)

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """Answer for the whole cohort at once; the sum is rounded to the ring once instead of once a device.

        Noise that devices add is drawn once, with the variance of all shares: the same distribution, but for a factor
        within 1e-20 of 1 (`fedrec.privacy.distributed`).
        """
        if not len(cohort):
            return AggregateResult(np.zeros(request.sum.length), 0, 0)
        asked = self.population
        if len(cohort) < len(asked):
            asked = asked.take(np.asarray(cohort, dtype=np.int64))
        encoder = self.handler.encoder(request.query)
        self._updates = []
        if encoder.adds_own_noise:
            answer, rows = self._one_by_one(request, asked), len(asked)
        else:
            answer, rows = self.handler.answer(request, asked), self.handler.rows(request, asked)
            self._updates.append(encoder.last_update)
        share = request.sum.encode(answer, rows, key=self._key(request), devices=len(cohort))
        vector = request.sum.open(request.sum.add(None, share))
        return AggregateResult(vector, len(cohort), request.sum.bytes_up * len(cohort))

    def _one_by_one(self, request: Request, asked: UserBatch) -> NDArray[np.float64]:
        """The sum of what devices contribute that each add their own noise: one after the other, as they are apart."""
        config, encoder = self.handler.config, self.handler.encoder(request.query)
        total = np.zeros(request.sum.length)
        for place, count in enumerate(asked.histories.lengths):
            one = asked.take(np.array([place]))
            noise = local_noise_of(config, request.round, local_cost(config, int(count), self.size), one)
            total += self.handler.answer(request, one, noise)
            self._updates.append(encoder.last_update)
        return total

    def _key(self, request: Request) -> bytes:
        run = self.handler.config.run
        return key(run.seed, "rounding", request.query, request.round) if run.reproducible else fresh_key()
