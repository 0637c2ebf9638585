"""The device's half of query ``cooccurrence``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.errors import ProtocolError
from fedrec.queries.cooccurrence import ITEMS
from fedrec.queries.device.encoder import Floats, QueryEncoder
from fedrec.queries.device.rating_weights import rating_weights
from fedrec.queries.query import vector_of
from fedrec.queries.request import Request
from fedrec.users import UserBatch


class CooccurrenceEncoder(QueryEncoder):
    """Counts what was used together."""

    def check(self, request: Request) -> None:
        """Raises ProtocolError for items that are no places of the catalogue, ascending."""
        self._items(request)

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """See `used_pairs`. Raises ProtocolError for items that are no places of the catalogue, ascending."""
        items, settings = self._items(request), self.config.collaborative
        return used_pairs(
            population,
            items,
            len(self.features),
            normalise=settings.cooccurrence.normalise,
            bound=request.sum.bound,
            short_history_weighting=settings.short_history_weighting,
            by_rating=rating_weights(population, settings.ratings),
        )

    def _items(self, request: Request) -> NDArray[np.int64]:
        items = vector_of(request, ITEMS).astype(np.int64)
        if not (items.min() >= 0 and items.max() < len(self.features) and (np.diff(items) > 0).all()):
            raise ProtocolError("co-occurrence is asked over items that are not places of the catalogue, ascending")
        return items


def used_pairs(
    population: UserBatch,
    items: NDArray[np.int64],
    catalogue: int,
    *,
    normalise: float,
    bound: float,
    short_history_weighting: int = 0,
    by_rating: Floats | None = None,
) -> Floats:
    """Sum over users of the upper triangle of x x^T / max(|x|, weighting)^normalise over ``items`` [K].

    ``by_rating``: above 0 and at most 1, one an entry of the histories (`rating_weights`).  Then x holds these in place
    of ones, and |x| is the sum of their squares.  The part's norm is sqrt((|x|^2 + sum of x^4) / 2) / |x|^normalise,
    which is at most 1 as before for normalise 1, and it is clipped to ``bound`` by that.

    Returns:
        float64 [K (K + 1) / 2], row by row, each user's part clipped to ``bound``.  One sparse product for any number
        of users.
    """
    column = np.full(catalogue, -1, dtype=np.int64)
    column[items] = np.arange(len(items))
    places = column[population.histories.items]
    taking = places >= 0
    owners = population.histories.owners[taking]
    weights = np.ones(len(owners)) if by_rating is None else by_rating[taking]
    size = np.bincount(owners, weights=weights**2, minlength=len(population)).astype(np.float64)
    fourth = np.bincount(owners, weights=weights**4, minlength=len(population)).astype(np.float64)
    none = size == 0
    size[none], fourth[none] = 1.0, 1.0
    divisor = np.maximum(size, short_history_weighting) ** normalise
    norms = np.sqrt((size * size + fourth) / 2) / divisor
    scale = np.minimum(1.0, bound / norms) / divisor
    entries = weights * np.sqrt(scale[owners])
    used = sparse.csr_matrix((entries, (owners, places[taking])), shape=(len(population), len(items)), dtype=np.float64)
    gram = (used.T @ used).toarray()
    return np.asarray(gram[np.triu_indices(len(items))])
