"""Query ``cooccurrence``: which items are used together, the first private signal of collaboration.

*What leaves*: a user with the items x among the K that take part adds the upper triangle (with diagonal) of x x^T /
|x|^a, clipped to the bound.
*What it costs*: with a = 1 the part has the L2 norm sqrt((1 + 1/n) / 2), n = |x|, at most 1 and close to 0.71 for most
users; changing one interaction of n moves it by sqrt(1/n + 1/(2 n (n - 1))) <= 1 (1 for n = 1).  With a short-history
weighting m, users of n < m items add x x^T / m: one interaction then moves the part by sqrt(n) / m up to m, by less
than 1 / sqrt(n) beyond, and so by 1 / sqrt(m) at most.  With a < 1 the norm grows with n; such sums are for runs
without noise.
With weights by rating w in (0, 1] in place of ones, and s = sum of w^2, the part is the upper triangle of
w w^T / max(s, m): its norm is sqrt((s^2 + sum of w^4) / 2) / max(s, m) <= 1, since the sum of w^4 is s^2 at most, and
it is clipped to the same bound; users only, as for popularity.
*Who checks it*: which items take part is the server's to say, by popularity; how many, a device knows from its
settings.
*What is made of it*: a symmetric matrix, kept where it stands out of the noise, and solved for item factors.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.reading import PaidCooccurrence
from fedrec.collaborative.tall import refuse_square
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries.popularity import example_bound
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query, vector_of
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState

# For user-level privacy: just above the norm of a user with 28 items; users with fewer are clipped a little.
USER_BOUND: Final = 0.72
ITEMS: Final = "items"


class Cooccurrence(Query):
    """Shared half; the device's is `fedrec.queries.device.cooccurrence`."""

    name = "cooccurrence"
    encoder = "fedrec.queries.device.cooccurrence:CooccurrenceEncoder"
    default_share = 0.5

    def rounds(self, config: Config) -> range:
        """Once, as round 0, where ``collaborative.cooccurrence`` is enabled."""
        return range(int(config.collaborative.cooccurrence.enabled))

    def place(self, config: Config, round_number: int) -> tuple[int, ...]:
        """After popularity."""
        return (1, round_number)

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """The items that take part, and to which power histories are normalised."""
        settings = state.config.collaborative.cooccurrence
        items = taking_part(state.collaborative.popularity.astype(np.float64), settings.items)
        return Broadcast({ITEMS: items}, {"normalise": float(settings.normalise)})

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """So many items as the settings say, as int64. Raises ProtocolError for another number of them."""
        items, most = vector_of(request, ITEMS), config.collaborative.cooccurrence.items
        wanted = min(most, len(features)) if most else len(features)
        if len(items) != wanted or items.dtype != np.int64:
            raise ProtocolError("co-occurrence is asked over another number of items than was set", value=len(items))
        return Broadcast({ITEMS: items}, {"normalise": float(config.collaborative.cooccurrence.normalise)})

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """Over the pairs of the items that take part, K (K + 1) / 2 elements.

        Raises:
            ConfigError: noise is wanted for parts whose norm has no small bound (``normalise`` below 1).
            ModelError: more than 20,000 items take part.
        """
        refuse_square(
            len(said.arrays[ITEMS]),
            "the co-occurrence of all items that take part",
            action="Lower collaborative.cooccurrence.items, or enable collaborative.power_iteration in its place",
        )
        normalise, example = config.collaborative.cooccurrence.normalise, config.privacy.unit == "example"
        if config.privacy.epsilon is not None and normalise != 1.0:
            raise ConfigError(
                "collaborative.cooccurrence.normalise must be 1 in a private run: else one user can move the sum far",
                value=normalise,
            )
        count = len(said.arrays[ITEMS])
        length = count * (count + 1) // 2
        bound = (1.0 if example else USER_BOUND) if normalise == 1.0 else max(1.0, length**0.5 / count**normalise)
        weighting = config.collaborative.short_history_weighting
        return PrivateSum.of(
            self.name,
            length,
            bound,
            rows,
            resolution_bits=config.secure_aggregation.resolution_bits,
            # However long a row is, its elements are |x|^-a at most.
            limit=min(bound, 1.0),
            moves=example_bound(weighting) if example and normalise == 1.0 else 0.0,
        )

    def decode(self, state: RunState, noisy: NoisySum) -> NDArray[np.float64]:
        """The denoised matrix [K, K]; the run's collaborative factors are solved from it."""
        denoised = denoise(unfold(noisy.vector), noisy.deviation)
        popularity = state.collaborative.popularity.astype(np.float64)
        items = noisy.request.arrays[ITEMS]
        state.sums = PaidCooccurrence(popularity, denoised, items, noisy.deviation > 0)
        state.read_sums()
        return denoised


def taking_part(popularity: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """The places of the ``most`` most popular items (all if 0), ascending; ties go to the earlier place."""
    count = len(popularity) if most == 0 else min(most, len(popularity))
    order = np.argsort(-popularity, kind="stable")
    return np.sort(order[:count]).astype(np.int64)


def unfold(opened: NDArray[np.float64]) -> NDArray[np.float64]:
    """An opened upper triangle as a symmetric matrix [K, K]."""
    count = (math.isqrt(8 * len(opened) + 1) - 1) // 2
    matrix = np.zeros((count, count))
    upper = np.triu_indices(count)
    matrix[upper] = opened
    matrix.T[upper] = opened
    return matrix


def denoise(matrix: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Keep what stands out of the noise.

    A symmetric matrix of independent noise with standard deviation ``sigma`` has its eigenvalues within
    2 sigma sqrt(K); a signal eigenvalue s above sigma sqrt(K) appears at s + sigma^2 K / s (Benaych-Georges and
    Nadakuditi 2011, section 3.1).  Eigenvalues above the edge are moved back to s, the others dropped.  Uses only the
    noisy matrix, so it costs no privacy.  ``sigma`` 0 returns the matrix as it is.
    """
    if sigma == 0:
        return matrix
    edge = 2 * sigma * math.sqrt(len(matrix))
    values, vectors = np.linalg.eigh(matrix)
    kept = values > edge
    signal = (values[kept] + np.sqrt(values[kept] ** 2 - edge**2)) / 2
    basis = vectors[:, kept]
    return np.asarray((basis * signal) @ basis.T)


COOCCURRENCE: Final = Cooccurrence()
