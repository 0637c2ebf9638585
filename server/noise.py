"""What makes a sum private: noise that the server adds when it is opened, or that it asks the devices to add.

Independent noise is drawn from a key of its own at every call.  Banded noise, which training may have, is drawn from
the run's keys, so that it goes on where a run was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.aggregation.question import Question
from fedrec.config import Config
from fedrec.privacy.accountant import Query, Spend
from fedrec.privacy.mechanism import GaussianMechanism
from server.banded_noise import BandedNoise
from server.keys import RunKeys
from server.plan import bands_of


class ServerNoise:
    """Gaussian noise for every sum, as large as the query's spend says; none for a query without a spend."""

    def __init__(self, config: Config, spends: Mapping[Query, Spend], keys: RunKeys) -> None:
        self.config, self.spends = config, spends
        self.banded = self._banded(keys)

    @property
    def on_devices(self) -> bool:
        """Whether devices add the noise, and the server none."""
        return self.config.privacy.noise_place == "distributed"

    def shared(self, question: Question, devices: int) -> Question:
        """The question as it is asked of ``devices`` devices: where they add the noise, it says how it is shared."""
        spend = self.spends.get(question.query)
        if spend is None or not self.on_devices or not devices:
            return question
        return question.shared(self.config, spend.noise_multiplier, devices)

    def deviation(self, question: Question, devices: int) -> float:
        """Of all noise in an element of a sum over ``devices`` devices, in the sum's own unit."""
        spend = self.spends.get(question.query)
        if spend is None:
            return 0.0
        if self.on_devices:
            return self.shared(question, devices).sum.deviation(devices)
        return spend.noise_multiplier * question.sum.sensitivity

    def of(self, question: Question) -> NDArray[np.float64]:
        """The noise that the server adds to an opened sum; float64 [question.sum.length], in whole steps of its grid.

        Zero where the devices added it.
        """
        spend = self.spends.get(question.query)
        if spend is None or self.on_devices:
            return np.zeros(question.sum.length)
        mechanism = GaussianMechanism(spend.noise_multiplier, question.sum.sensitivity, question.sum.resolution)
        if self.correlated(question.query) and self.banded is not None:
            return mechanism.on_grid(self.banded.of(question.round, question.sum.length))
        return mechanism.noise(self._key(question.query, question.round), question.sum.length)

    def correlated(self, query: Query) -> bool:
        """Whether this query's rounds share noise: then no round of it may be opened and shown twice."""
        return query == "training" and self.banded is not None

    def _banded(self, keys: RunKeys) -> BandedNoise | None:
        spend = self.spends.get("training")
        if spend is None or self.config.privacy.noise != "banded":
            return None
        bands = bands_of(self.config, spend)
        return BandedNoise(spend.rounds, bands, lambda number: keys.of("noise", "training", number))

    def _key(self, query: Query, number: int) -> bytes:
        if self.config.run.reproducible:
            return randomness.key(self.config.run.seed, "noise", query, number)
        return randomness.fresh_key()
