"""Banded matrix-factorisation noise: correlated over rounds, so that it cancels in what a run adds up.

With independent noise, every round's sum is hidden by itself, but an optimiser adds rounds up, and their noise adds up
with them.  Here round t gets ``(C^-1 Z)_t`` times the noise multiplier, where the rows of Z are independent standard
normal vectors and C is lower triangular with ``bands`` non-zero diagonals and columns of norm 1.  All rounds together
are then a function of ``C X + z Z``, X the sums: a Gaussian mechanism.  A row whose participations lie at least
``bands`` rounds apart meets columns of C that do not overlap, so k participations move C X by at most sqrt(k)
sensitivities: the privacy of independent noise with the same multiplier, and of the same k participations
(Choquette-Choo et al., (Amplified) Banded Matrix Factorization, NeurIPS 2023, section 4).  It stands when every sum
depends on what was released before (Denisov et al., NeurIPS 2022, theorem 2.1): C is triangular, so noise of round t is
known as soon as round t is.  Sums of changing sensitivity are covered too, each round's noise being in units of its own
sensitivity.

Of a device that is dealt to one of at least ``bands`` groups that take turns, and drawn by itself with probability q
in each of its group's rounds (cyclic Poisson sampling), each of these is a Poisson-sampled Gaussian, and they compose.
Its round t moves rows t to t + bands - 1 of C X only, by column t of C, of norm 1, times what it adds, or not at all,
and no other round of its group moves these rows.  So with what is known before round t, these rows are made of one
number with mean 1 (drawn) or 0 and noise z, along that direction; noise across it, and what others add, do not hang
on the draw (Choquette-Choo et al., section 5).  Which group a device is in may be known.

C is a Toeplitz matrix with its columns normalised, which makes its last columns sharper, since they are cut off.  Its
coefficients minimise the mean squared error of the prefix sums, starting from the square root of the prefix-sum matrix
(Kalinin and Lampert, Banded Square Root Matrix Factorization, NeurIPS 2024); beyond `_OPTIMISED` rounds they are that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular, toeplitz
from scipy.optimize import minimize

from fedrec.errors import PrivacyError

_OPTIMISED = 512  # rounds up to which coefficients are searched for: a step takes the cube of them
_MOST_ROUNDS = 4096
Matrix = NDArray[np.float64]


@lru_cache(maxsize=64)
def coefficients(rounds: int, bands: int) -> tuple[float, ...]:
    """The first column, ``bands`` long, of the Toeplitz matrix whose columns are then normalised; it starts with 1.

    Raises:
        PrivacyError: bands is not 1 to ``rounds``, or there are more than 4096 rounds.
    """
    _check(rounds, bands)
    start = _square_root(bands)
    if bands == 1 or rounds > _OPTIMISED:
        return tuple(start)
    found = minimize(_objective, start[1:], args=(rounds,), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    best = np.concatenate([[1.0], found.x])
    # The search may end worse only by going astray; any coefficients are private, so this guards quality alone.
    better = error(encoder(rounds, tuple(best))) < error(encoder(rounds, tuple(start)))
    return tuple(best if better else start)


def encoder(rounds: int, first_column: tuple[float, ...]) -> Matrix:
    """C: float64 [rounds, rounds], lower triangular, ``len(first_column)`` bands, each column of L2 norm 1."""
    lower = _toeplitz(np.asarray(first_column, np.float64), rounds)
    return np.asarray(lower / np.linalg.norm(lower, axis=0))


def sensitivity(encoded: Matrix, minimum_separation: int) -> float:
    """Most by which C X moves when a row comes or goes whose participations lie at least ``minimum_separation`` rounds
    apart.

    In units of the sensitivity of one round's sum.  An upper bound for every pattern of participations, met by one:
    columns that far apart do not overlap, so their squared norms add up, and the largest total is found participation
    by participation.

    Raises:
        PrivacyError: the matrix has more bands than the separation, so that participations would overlap.
    """
    bands = bands_in(encoded)
    if bands > minimum_separation:
        action = "Use fewer bands, or smaller cohorts"
        raise PrivacyError(
            f"noise of {bands} bands needs participations so far apart", value=minimum_separation, action=action
        )
    squares = np.sum(encoded**2, axis=0)
    best = np.zeros(len(squares) + minimum_separation)  # best[t]: of participations from round t on
    for t in range(len(squares) - 1, -1, -1):
        best[t] = max(best[t + 1], squares[t] + best[t + minimum_separation])
    return math.sqrt(best[0])


def bands_in(encoded: Matrix) -> int:
    """How many diagonals, from the main one down, hold anything."""
    rows, columns = np.nonzero(encoded)
    return int(np.max(rows - columns)) + 1


def error(encoded: Matrix) -> float:
    """Root mean squared error of the prefix sums' noise, over rounds, for a noise multiplier of 1: of A C^-1's rows."""
    return math.sqrt(float(np.sum(_decoder(encoded) ** 2)) / len(encoded))


def error_ratio(rounds: int, bands: int) -> float:
    """How large the error of the prefix sums is, beside that of independent noise of the same multiplier; at most 1."""
    return error(encoder(rounds, coefficients(rounds, bands))) / math.sqrt((rounds + 1) / 2)


@lru_cache(maxsize=64)
def best_bands(rounds: int, minimum_separation: int) -> int:
    """The number of bands, at most ``minimum_separation`` and ``rounds``, with the least error. More hardly ever hurt.

    Raises:
        PrivacyError: a number is below 1, or there are more than 4096 rounds.
    """
    most = min(rounds, minimum_separation)
    _check(rounds, most)
    tried = sorted({most, *(max(1, round(most * part)) for part in (0.9, 0.75, 0.5, 0.25))})
    return min(tried, key=lambda bands: error_ratio(rounds, bands))


def correlated(encoded: Matrix, streams: Iterator[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    """Whole numbers, one row a round, that C maps to ``C[t, t] (Z_t + f_t)``, f_t the rest of rounding down.

    By back-substitution, keeping ``bands - 1`` rows: C^-1 times what stands there.  Elements of f are between -1 and 0,
    but for the error of double precision: a 128th for each band, at numbers below 2^45.

    Args:
        encoded: C.
        streams: the rows of Z, each int64 [length].
    """
    bands = bands_in(encoded)
    kept: list[NDArray[np.int64]] = []  # the last rows, newest first
    for t, fresh in zip(range(len(encoded)), streams, strict=False):
        mean = np.zeros(len(fresh))
        for back, earlier in enumerate(kept, start=1):
            mean -= encoded[t, t - back] / encoded[t, t] * earlier
        row = fresh + np.floor(mean).astype(np.int64)
        kept = [row, *kept][: bands - 1]
        yield row


def covariance(encoded: Matrix) -> Matrix:
    """Covariance over rounds of one element's noise, for a noise multiplier of 1: (C^T C)^-1."""
    inverse = solve_triangular(encoded, np.eye(len(encoded)), lower=True)
    return np.asarray(inverse @ inverse.T)


def _decoder(encoded: Matrix) -> Matrix:
    """A C^-1, with A the matrix of prefix sums."""
    prefix = np.tril(np.ones_like(encoded))
    return np.asarray(solve_triangular(encoded.T, prefix.T, lower=False).T)


def _objective(tail: Matrix, rounds: int) -> tuple[float, Matrix]:
    """log of the squared error, and its gradient, for the coefficients after the first."""
    raw = _toeplitz(np.concatenate([[1.0], tail]), rounds)
    norms = np.linalg.norm(raw, axis=0)
    encoded = raw / norms
    decoder = _decoder(encoded)
    total = float(np.sum(decoder**2))
    # d |A C^-1|^2 = -2 tr(C^-1 B^T B dC), B = A C^-1; then through the normalisation of each column.
    slope = -2 * solve_triangular(encoded, decoder.T @ decoder, lower=True).T
    raw_slope = slope / norms - raw * (np.sum(slope * raw, axis=0) / norms**3)
    gradient = np.array([np.trace(raw_slope, offset=-back) for back in range(1, len(tail) + 1)])
    return math.log(total), gradient / total


def _square_root(bands: int) -> Matrix:
    """The first coefficients of the matrix whose square is that of prefix sums: (2j choose j) / 4^j."""
    steps = np.arange(1, bands)
    return np.cumprod(np.concatenate([[1.0], (2 * steps - 1) / (2 * steps)]))


def _toeplitz(first: Matrix, rounds: int) -> Matrix:
    column = np.zeros(rounds)
    column[: len(first)] = first
    return np.asarray(np.tril(toeplitz(column)))


def _check(rounds: int, bands: int) -> None:
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise PrivacyError("banded noise is for 1 to 4096 rounds", value=rounds, action="Use independent noise")
    if not 1 <= bands <= rounds:
        raise PrivacyError("the bands of noise must be 1 to the number of rounds", value=bands)
