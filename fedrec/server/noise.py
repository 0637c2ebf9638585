"""What makes a sum private: noise that the server adds when it is opened, or that it asks the devices to add.

Each query has the mechanism that it names for these settings (`Query.mechanism`).  Independent
noise is drawn from a key of its own at every call.  Noise that is correlated over rounds is drawn from the run's keys,
so that it goes on where a run was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.config import Config
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.mechanism import Mechanism, RoundNoise
from fedrec.privacy.registry import MECHANISMS
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.server.keys import RunKeys


class ServerNoise:
    """Noise for every sum, as large as the query's cost says; none for a query without a cost.

    Raises:
        ConfigError: ``privacy.noise`` is not registered here, or its bands do not fit the plan.
    """

    def __init__(self, config: Config, costs: Mapping[str, QueryCost], keys: RunKeys) -> None:
        self.config, self.costs = config, costs
        self._over_rounds = self._correlated_noise(keys)

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
        return self._mechanism(request, cost).standard_deviation

    def of(self, request: Request) -> NDArray[np.float64]:
        """The noise that the server adds to an opened sum; float64 [request.sum.length], in whole steps of its grid.

        Zero where the devices added it.
        """
        cost = self.costs.get(request.query)
        if cost is None or self.on_devices:
            return np.zeros(request.sum.length)
        mechanism = self._mechanism(request, cost)
        if request.query in self._over_rounds:
            deviation = mechanism.standard_deviation / request.sum.resolution
            steps = self._over_rounds[request.query].of(request.round, request.sum.length, deviation)
            return np.asarray(steps * request.sum.resolution)
        return mechanism.noise(self._key(request.query, request.round), request.sum.length)

    def correlated(self, query: str) -> bool:
        """Whether this query's rounds share noise: then no round of it may be opened and shown twice."""
        return query in self._over_rounds

    def details(self, query: str) -> dict[str, int]:
        """What the ledger's row says of this query's noise beside its cost."""
        cost = self.costs.get(query)
        if cost is None or self.on_devices:
            return {}
        return self._kind(query).details(cost, self.config.privacy.bands)

    def _kind(self, query: str) -> type[Mechanism]:
        return MECHANISMS[QUERIES[query].mechanism(self.config)]

    def _mechanism(self, request: Request, cost: QueryCost) -> Mechanism:
        kind = self._kind(request.query)
        sensitivity = kind.moved_by(request.sum.sensitivity, request.sum.length)
        return kind(cost.noise_multiplier, sensitivity, request.sum.resolution)

    def _correlated_noise(self, keys: RunKeys) -> dict[str, RoundNoise]:
        """The noise of queries whose rounds share some."""
        bands = self.config.privacy.bands
        made = {
            query: self._kind(query).over_rounds(cost, bands, partial(keys.of, "noise", query))
            for query, cost in self.costs.items()
            if self._kind(query).correlated
        }
        return {query: noise for query, noise in made.items() if noise is not None}

    def _key(self, query: str, number: int) -> bytes:
        if self.config.run.reproducible:
            return randomness.key(self.config.run.seed, "noise", query, number)
        return randomness.fresh_key()
