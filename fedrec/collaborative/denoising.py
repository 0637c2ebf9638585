"""A noisy sum of projected histories, brought nearer to what it would be without its noise.

How large the noise is, is known; how large everything else is, is estimated from the noisy sum itself: empirical Bayes
(Efron and Morris 1975, "Data Analysis Using Stein's Estimator and its Generalizations").  Each column is first compared
with what content leads to expect of it, scaled to fit.  What is left is turned to its principal axes, and in each axis
an entry is taken as the sum of up to three parts: one that follows content (``content`` only), one of the item's own,
with a variance in proportion to its mass, and the noise.  What is kept is the posterior mean of the first two: rare
items, whose entries are noise, keep what content says.

The variances of ``content`` are found by expectation maximisation (Dempster et al. 1977, section 4.5, variance
components), and the posterior is the best linear unbiased prediction of Henderson (1975).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Denoising = Literal["items", "content"]
# Directions of the content that an entry may follow, and steps of expectation maximisation.
CONTENT_RANK: Final = 128
_STEPS: Final = 10
_LEAST: Final = 1e-9


def denoised(
    noisy: Floats, expected: Floats, content: Floats, mass: Floats, sigma: float, weights: Floats, how: Denoising
) -> Floats:
    """The posterior mean of a sum [items, r], in units of an item's unweighted part.

    Args:
        noisy: [items, r], with noise of deviation ``sigma`` in each entry.
        expected: [items, r], what content leads to expect, up to the scale of each column.
        content: [items, w], whose products are the content kernel at the items' mass.
        mass: [items], above 0, to which the variance of an item's own part is in proportion.
        sigma: 0 or above; with 0 nothing is changed but the weights taken out.
        weights: [items, 1], above 0, that items' entries were multiplied with, which are divided out.
        how: ``items``: an item's own part alone; ``content``: one that follows content beside it.
    """
    known = noisy / weights
    if sigma == 0:
        return known
    guess = _fitted(expected, known, weights)
    left, spread = known - guess, sigma / weights
    if how == "items":
        return guess + _shrunk(left, mass, spread, weights)
    return guess + _predicted(left, content, mass, spread[:, 0])


def _fitted(guess: Floats, noisy: Floats, weights: Floats) -> Floats:
    """Each column of the guess times the number, zero or above, that brings it nearest to the noisy one."""
    scale = (guess * noisy * weights**2).sum(axis=0) / np.maximum((guess**2 * weights**2).sum(axis=0), 1e-12)
    return np.asarray(guess * np.maximum(scale, 0.0))


def _shrunk(noisy: Floats, mass: Floats, spread: Floats, weights: Floats) -> Floats:
    """Posterior means of items' own parts; ``spread``: [items, 1], the noise of an entry."""
    _, _, axes = np.linalg.svd(noisy * weights, full_matrices=False)
    turned, noise = noisy @ axes.T, spread**2
    share = (mass / mass.mean())[:, None]
    # Least squares of the squares on what they are expected to be, each as sure as its noise is small.
    sure = weights**4
    signal = np.maximum(((turned**2 - noise) * share * sure).sum(axis=0) / (share**2 * sure).sum(), _LEAST)
    return np.asarray((turned * (signal * share / (signal * share + noise))) @ axes)


def _predicted(noisy: Floats, content: Floats, mass: Floats, spread: Floats) -> Floats:
    """Posterior means of the parts that follow content and of items' own; ``spread``: [items]."""
    _, _, axes = np.linalg.svd(noisy / spread[:, None], full_matrices=False)
    left, singular, _ = np.linalg.svd(content, full_matrices=False)
    followed = (left * singular)[:, :CONTENT_RANK]
    followed *= np.sqrt(len(followed) / max(float((followed**2).sum()), _LEAST))
    share, turned = mass / mass.mean(), noisy @ axes.T
    for axis in range(turned.shape[1]):
        turned[:, axis] = _predicted_axis(turned[:, axis], followed, share, spread**2)
    return np.asarray(turned @ axes)


def _predicted_axis(noisy: Floats, content: Floats, share: Floats, noise: Floats) -> Floats:
    """One axis [items]: content [items, w] times normal weights, an own part of variance ``share``, and the noise."""
    items, width = content.shape
    excess = max(float((noisy**2 - noise).mean()), 1e-3 * float(noise.mean()))
    common = own = excess / 2
    for _ in range(_STEPS):
        total = own * share + noise
        scaled = content / total[:, None]
        inverse = np.linalg.inv(content.T @ scaled + np.eye(width) / common)
        weights = inverse @ (scaled.T @ noisy)
        followed = content @ weights
        kept = own * share / total
        alone = kept * (noisy - followed)
        # Second moments under the posterior: of the weights, and of each own part beside its share.
        common = max(float(weights @ weights + np.trace(inverse)) / width, _LEAST)
        unsure = kept * noise + kept**2 * ((content @ inverse) * content).sum(axis=1)
        own = max(float(((alone**2 + unsure) / share).sum()) / items, _LEAST)
    return np.asarray(followed + alone)
