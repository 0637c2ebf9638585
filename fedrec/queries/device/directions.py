"""The device's half of query ``directions``."""

from __future__ import annotations

from fedrec.queries.device.encoder import Floats, QueryEncoder
from fedrec.queries.device.power_iteration import directions_of, projected
from fedrec.queries.device.rating_weights import rating_weights
from fedrec.queries.request import Request
from fedrec.users import UserBatch


class DirectionsEncoder(QueryEncoder):
    """Tells where histories lie among the directions that are asked."""

    def check(self, request: Request) -> None:
        """Raises ProtocolError as `directions_of`."""
        directions_of(request, len(self.features))

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """Sum over users of x' y'^T: a history less its popular part, and its position, each of length 1.

        Raises:
            ProtocolError: as `directions_of`.
        """
        asked = directions_of(request, len(self.features))
        by_rating = rating_weights(population, self.config.collaborative.ratings)
        return projected(population, asked.centre, asked.vectors, request.sum.bound, asked.weights, by_rating)
