"""Query ``cooccurrence``: which items are used together, the first private signal of collaboration.

A user with the items x among the K that take part adds the upper triangle (with diagonal) of x x^T / |x|^a, clipped
to the bound.  With a = 1 the part has the L2 norm sqrt((1 + 1/n) / 2), n = |x|, at most 1 and close to 0.71 for most
users; changing one interaction of n moves it by sqrt(1/n + 1/(2 n (n - 1))) <= 1 (1 for n = 1).  With a ramp m, users
of n < m items add x x^T / m: one interaction then moves the part by sqrt(n) / m up to the ramp, by less than 1 /
sqrt(n) beyond, and so by 1 / sqrt(m) at most.  With a < 1 the norm grows with n; such sums are for runs without
noise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedrec.config import CollaborativeSettings, Unit
from fedrec.errors import ConfigError
from fedrec.queries.popularity import example_bound
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request

# For user-level privacy: just above the norm of a user with 28 items; users with fewer are clipped a little.
USER_BOUND = 0.72


def taking_part(popularity: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """The places of the ``most`` most popular items (all if 0), ascending; ties go to the earlier place."""
    count = len(popularity) if most == 0 else min(most, len(popularity))
    order = np.argsort(-popularity, kind="stable")
    return np.sort(order[:count]).astype(np.int64)


def ask(
    items: NDArray[np.int64],
    rows: int,
    settings: CollaborativeSettings,
    *,
    unit: Unit,
    noisy: bool,
    resolution_bits: int | None,
) -> Request:
    """The request, over the items that take part and at most ``rows`` users.

    Raises:
        ConfigError: noise is wanted for parts whose norm has no small bound (``normalise`` below 1).
    """
    if noisy and settings.cooccurrence.normalise != 1.0:
        raise ConfigError(
            "collaborative.cooccurrence.normalise must be 1 in a private run: otherwise one user can move the sum far",
            value=settings.cooccurrence.normalise,
        )
    count = len(items)
    most = (count * (count + 1) / 2) ** 0.5 / count**settings.cooccurrence.normalise
    bound = (USER_BOUND if unit == "user" else 1.0) if settings.cooccurrence.normalise == 1.0 else max(1.0, most)
    length = count * (count + 1) // 2
    # However long a row is, its elements are |x|^-a at most.
    limit = min(bound, 1.0)
    moves = (
        example_bound(settings.short_history_weighting)
        if unit == "example" and settings.cooccurrence.normalise == 1.0
        else 0.0
    )
    agreed = PrivateSum.of(
        "cooccurrence", length, bound, rows, resolution_bits=resolution_bits, limit=limit, moves=moves
    )
    return Request(
        "cooccurrence",
        0,
        agreed,
        arrays={"items": items},
        settings={"normalise": float(settings.cooccurrence.normalise)},
    )


def read(opened: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unfold the opened upper triangle into a symmetric matrix [K, K]."""
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
