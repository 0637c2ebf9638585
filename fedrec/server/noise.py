"""What makes a sum private: noise that the server adds when it is opened, or that it asks the devices to add.

Independent noise is drawn from a key of its own at every call.  Banded noise, which training may have, is drawn from
the run's keys, so that it goes on where a run was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.config import Config
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.mechanism import GaussianMechanism
from fedrec.privacy.run_plan import bands_of
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.server.banded_noise import BandedNoise
from fedrec.server.keys import RunKeys


class ServerNoise:
    """Gaussian noise for every sum, as large as the query's spend says; none for a query without a spend."""

    def __init__(self, config: Config, costs: Mapping[str, QueryCost], keys: RunKeys) -> None:
        self.config, self.costs = config, costs
        self.banded = self._banded(keys)

    @property
    def on_devices(self) -> bool:
        """Whether devices add the noise, and the server none."""
        return self.config.privacy.noise_place == "distributed"

    def shared(self, request: Request, devices: int) -> Request:
        """The request as it is asked of ``devices`` devices: where they add the noise, it says how it is shared."""
        cost = self.costs.get(request.query)
        if cost is None or not self.on_devices or not devices:
            return request
        return request.with_noise_of_devices(self.config, cost.noise_multiplier, devices)

    def deviation(self, request: Request, devices: int) -> float:
        """Of all noise in an element of a sum over ``devices`` devices, in the sum's own unit."""
        cost = self.costs.get(request.query)
        if cost is None:
            return 0.0
        if self.on_devices:
            return self.shared(request, devices).sum.deviation(devices)
        return cost.noise_multiplier * request.sum.sensitivity

    def of(self, request: Request) -> NDArray[np.float64]:
        """The noise that the server adds to an opened sum; float64 [request.sum.length], in whole steps of its grid.

        Zero where the devices added it.
        """
        cost = self.costs.get(request.query)
        if cost is None or self.on_devices:
            return np.zeros(request.sum.length)
        mechanism = GaussianMechanism(cost.noise_multiplier, request.sum.sensitivity, request.sum.resolution)
        if self.correlated(request.query) and self.banded is not None:
            return mechanism.on_grid(self.banded.of(request.round, request.sum.length))
        return mechanism.noise(self._key(request.query, request.round), request.sum.length)

    def correlated(self, query: str) -> bool:
        """Whether this query's rounds share noise: then no round of it may be opened and shown twice."""
        return self.banded is not None and QUERIES[query].correlated(self.config)

    def _banded(self, keys: RunKeys) -> BandedNoise | None:
        """The correlated noise of the one query whose rounds share some; None where there is no such query."""
        for query, cost in self.costs.items():
            if QUERIES[query].correlated(self.config):
                return BandedNoise(cost.rounds, bands_of(self.config, cost), partial(keys.of, "noise", query))
        return None

    def _key(self, query: str, number: int) -> bytes:
        if self.config.run.reproducible:
            return randomness.key(self.config.run.seed, "noise", query, number)
        return randomness.fresh_key()
