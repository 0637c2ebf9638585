"""Query ``factors``: the last step of private power iteration, with the least noise; item factors are made of it.

*What leaves*: as in `fedrec.queries.directions`: a user adds x' y'^T, float [items x r], where its history lies among
the r directions that the steps before have found.
*What it costs*: the part's L2 norm is 1, and that is what a user moves the sum by; users only, not interactions.
*Who checks it*: what to project on is the server's to say; its form is not, see `accepted_directions`.
*What is made of it*: denoised and completed to factors of the users' co-occurrence, joined with the popular direction
and the content kernel, and solved for item factors without an array of items x items.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedrec.collaborative.power_iteration import PowerIterationResult
from fedrec.collaborative.reading import PaidFactors
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.queries.power_iteration import accepted_directions, projected_sum
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState


class Factors(Query):
    """Shared half; the device's is `fedrec.queries.device.factors`."""

    name = "factors"
    encoder = "fedrec.queries.device.factors:FactorsEncoder"
    default_share = 0.5

    def rounds(self, config: Config) -> range:
        """Once, as round 0, where ``collaborative.power_iteration`` is enabled."""
        return range(int(config.collaborative.power_iteration.enabled))

    def place(self, config: Config, round_number: int) -> tuple[int, ...]:
        """After all directions."""
        return (3, round_number)

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """The directions that the steps before have led to."""
        return Broadcast(state.power_iteration.directions.arrays())

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """See `accepted_directions`."""
        return accepted_directions(config, request, len(features))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """Items times directions elements, of norm 1 a user, rotated where ``secure_aggregation.rotate`` says so."""
        return projected_sum(config, self.name, said.arrays["vectors"].size, rows)

    def decode(self, state: RunState, noisy: NoisySum) -> PowerIterationResult:
        """What the step found; the run's collaborative factors are solved from it."""
        iteration = state.power_iteration
        iteration.weigh(noisy.vector, noisy.deviation, state)
        found = iteration.found(noisy.vector, noisy.deviation)
        popularity = state.collaborative.popularity.astype(np.float64)
        centre, mass = iteration.directions.centre, iteration.expected.mass
        state.sums = PaidFactors(popularity, centre, mass, found.factors, iteration.content)
        state.read_sums()
        return found


FACTORS: Final = Factors()
