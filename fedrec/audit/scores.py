"""How much a noisy sum speaks for each canary: log-likelihood ratios of "in" against "out"."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.audit.outer import OuterParts
from fedrec.errors import PrivacyError


def log_likelihood_ratios(
    expected: sparse.csr_matrix | OuterParts,
    residual: NDArray[np.float64],
    sigma: float,
    *,
    asked: NDArray[np.bool_] | None = None,
    probability: float = 1.0,
) -> NDArray[np.float64]:
    """The log-likelihood ratio of each canary; float64 [m], to be added up over sums.

    Exact, hence the best test there is (Neyman and Pearson), where canaries are at right angles and noise is Gaussian;
    canaries at other angles count as more noise.  That an adversary takes the real rows' part away is what
    differential privacy allows it: it is held to know every other row.

    Args:
        expected: [m, length], what each canary adds if it is in; a row of zeros says nothing.
        residual: [length], the noisy sum less what the real rows added.
        sigma: standard deviation of the noise on each element, above 0.
        asked: [m], who took part, where that is known to the adversary; None: all.
        probability: the chance that a canary takes part where that is secret; 1 otherwise.

    Raises:
        PrivacyError: shapes do not fit, sigma is not positive, or the probability is outside (0, 1].
    """
    if expected.shape[1:] != residual.shape:
        raise PrivacyError("what is expected of canaries is of another sum", value=(expected.shape, residual.shape))
    if not sigma > 0 or not 0 < probability <= 1:
        raise PrivacyError("a score needs noise and a chance", value=(sigma, probability))
    takes = np.ones(expected.shape[0]) if asked is None else asked.astype(np.float64)
    # What the others add along a canary, each of them in by a fair coin and, if sampled, by its draw.
    chance = takes * probability / 2
    if isinstance(expected, OuterParts):
        seen, square, (mean, variance) = expected.of(residual), expected.squares, expected.others(chance)
    else:
        seen, (square, mean, variance) = np.asarray(expected @ residual), _met(expected, chance)
    norm = np.sqrt(square)
    there = (norm > 0) & (takes > 0)
    safe = np.where(norm > 0, norm, 1.0)
    along = (seen - mean) / safe
    ratio = (along * norm - square / 2) / (sigma**2 + variance / safe**2)
    if probability < 1:
        ratio = np.logaddexp(math.log1p(-probability), math.log(probability) + ratio)
    return np.where(there, ratio, 0.0)


def _met(expected: sparse.csr_matrix, chance: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Of each part: its squared length, and the mean and variance of its product with what the others add."""
    gram = sparse.csr_matrix(expected @ expected.T)
    square = np.asarray(gram.diagonal())
    gram.setdiag(0)
    return square, np.asarray(gram @ chance), np.asarray(gram.multiply(gram) @ (chance * (1 - chance)))
