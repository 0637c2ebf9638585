"""What makes an opened sum private: the noise that the server adds to it before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.aggregation.question import Query, Question
from fedrec.config import Config
from fedrec.privacy.accountant import Spend
from fedrec.privacy.mechanism import GaussianMechanism


class ServerNoise:
    """Fresh Gaussian noise for every sum, as large as the query's spend says; none for a query without a spend."""

    def __init__(self, config: Config, spends: Mapping[Query, Spend]) -> None:
        self.config, self.spends = config, spends

    def of(self, question: Question) -> NDArray[np.float64]:
        """The noise of one opened sum; float64 [question.sum.length], in whole steps of its grid."""
        spend = self.spends.get(question.query)
        if spend is None:
            return np.zeros(question.sum.length)
        mechanism = GaussianMechanism(spend.noise_multiplier, question.sum.sensitivity, question.sum.resolution)
        return mechanism.noise(self._key(question.query, question.round), question.sum.length)

    def _key(self, query: Query, number: int) -> bytes:
        if self.config.run.reproducible:
            return randomness.key(self.config.run.seed, "noise", query, number)
        return randomness.fresh_key()
