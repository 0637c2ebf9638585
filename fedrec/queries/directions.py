"""Query ``directions``: the steps of private power iteration before the last; each turns the directions towards users.

*What leaves*: a user adds x' y'^T, float [items x r]: its history less the popular direction, and where that lies among
the r directions, each brought to length 1.  Where ``item_weighting`` is above 0, x' counts popular items less, so that
less of the 1 is spent on what many users say anyhow; the server divides the weights out again.
*What it costs*: the part's L2 norm is 1 whatever the user's history, and that is what a user moves the sum by.  It
protects users, not interactions: the settings refuse it for unit example.
*Who checks it*: what to project on is the server's to say, as parameters are; that it is over this catalogue, finite
and of at most 512 directions is not.
*What is made of it*: the sum is denoised, completed, and its strongest directions are asked next.
"""

from __future__ import annotations

from typing import Final

from fedrec.collaborative.power_iteration import PowerIterationResult, ProjectionDirections, following
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.queries.power_iteration import accepted_directions, projected_sum
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState


class Directions(Query):
    """Shared half; the device's is `fedrec.queries.device.directions`."""

    name = "directions"
    encoder = "fedrec.queries.device.directions:DirectionsEncoder"
    default_share = 0.1

    def rounds(self, config: Config) -> range:
        """Rounds 1 to ``collaborative.power_iteration.steps``."""
        settings = config.collaborative.power_iteration
        return range(1, settings.steps + 1) if settings.enabled else range(0)

    def place(self, config: Config, round_number: int) -> tuple[int, ...]:
        """After popularity, in order."""
        return (2, round_number)

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """The directions so far; at first those of the content kernel."""
        return Broadcast(state.power_iteration.directions.arrays())

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """See `accepted_directions`."""
        return accepted_directions(config, request, len(features))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """Items times directions elements, of norm 1 a user, rotated where ``secure_aggregation.rotate`` says so."""
        return projected_sum(config, self.name, said.arrays["vectors"].size, rows)

    def decode(self, state: RunState, noisy: NoisySum) -> PowerIterationResult:
        """What the step found; the directions of the next one are its strongest."""
        iteration, settings = state.power_iteration, state.config.collaborative.power_iteration
        iteration.weigh(noisy.vector, noisy.deviation, state)
        found = iteration.found(noisy.vector, noisy.deviation)
        asked: ProjectionDirections = following(iteration.directions, found, settings.rank, settings.whitening)
        iteration.directions = asked
        return found


DIRECTIONS: Final = Directions()
