"""Query ``factors``: the last step of private power iteration, with the least noise; item factors are made of it.

*What leaves*: as in `fedrec.queries.directions`: a user adds x' y'^T, float [items x r], where its history lies among
the r directions that the steps before have found.
*What it costs*: the part's L2 norm is 1, and that is what a user moves the sum by; users only, not interactions.
*Who checks it*: what to project on is the server's to say; its form is not, see `accepted_directions`.
*What is made of it*: denoised and completed to factors of the users' co-occurrence, joined with the popular direction
and the content kernel, and solved for item factors without an array of items x items.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from fedrec.collaborative import low_rank
from fedrec.collaborative.fold_in_factors import from_factors
from fedrec.collaborative.power_iteration import PowerIterationResult
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
        iteration, settings = state.power_iteration, state.config.collaborative
        counts = state.collaborative.popularity.astype(np.float64)
        found = iteration.found(noisy.vector, noisy.deviation)
        mass, solver = iteration.expected.mass, settings.solver
        whole = low_rank.joined(
            iteration.directions.centre,
            counts,
            found.factors,
            iteration.content,
            mass,
            scale=settings.power_iteration.scale,
            prior=settings.prior.weight,
        )
        if solver.method == "als":
            solved = low_rank.factorise(counts, whole, solver.ridge, solver.rank)
        else:
            solved = low_rank.solve_low_rank(counts, whole, mass, solver.ridge, solver.rank)
        if settings.fold_in is not None:
            solved = replace(solved, factors=from_factors(whole, mass, settings.fold_in))
        state.collaborative = solved.discounted(settings.scoring.discount)
        return found


FACTORS: Final = Factors()
