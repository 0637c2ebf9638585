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

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.tall import TallTable, blocks, directions_of, gram, squared_lengths, times

Floats = NDArray[np.float64]
Denoising = Literal["items", "content"]
# Directions of the content that an entry may follow, and steps of expectation maximisation.
CONTENT_RANK: Final = 128
_STEPS: Final = 10
_LEAST: Final = 1e-9
# Items by which variances are found, of a catalogue of more.
_SAMPLED: Final = 20_000
_SEED: Final = 20_240_229


def denoised(
    noisy: Floats, expected: TallTable, content: TallTable, mass: Floats, sigma: float, weights: Floats, how: Denoising
) -> Floats:
    """The posterior mean of a sum [items, r], in units of an item's unweighted part.

    Time grows as items times r^2 (``items``) or r times the square of `CONTENT_RANK` (``content``), memory as the sum.

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
    guess = expected * _fitting(expected, known, weights)
    known -= guess
    if how == "items":
        known = _shrunk(known, mass, sigma / weights, weights)
    else:
        known = _predicted(known, content, mass, (sigma / weights[:, 0]) ** 2)
    known += guess
    return known


def _fitting(guess: TallTable, noisy: Floats, weights: Floats) -> Floats:
    """The number for each column, zero or above, times which the guess is nearest to the noisy one."""
    together, own = np.zeros(guess.shape[1]), np.zeros(guess.shape[1])
    for part in blocks(len(guess)):
        told = guess[part] * weights[part] ** 2
        together += (told * noisy[part]).sum(axis=0)
        own += (told * guess[part]).sum(axis=0)
    return np.asarray(np.maximum(together / np.maximum(own, 1e-12), 0.0))


def _shrunk(noisy: Floats, mass: Floats, spread: Floats, weights: Floats) -> Floats:
    """Posterior means of items' own parts; ``spread``: [items, 1], the noise of an entry."""
    axes, _ = directions_of(gram(noisy, weights=weights[:, 0] ** 2))
    turned, noise = times(noisy, axes), spread**2
    share = (mass / mass.mean())[:, None]
    # Least squares of the squares on what they are expected to be, each as sure as its noise is small.
    sure = weights**4
    squares = np.zeros(turned.shape[1])
    for part in blocks(len(turned)):
        squares += ((turned[part] ** 2 - noise[part]) * share[part] * sure[part]).sum(axis=0)
    signal = np.maximum(squares / (share**2 * sure).sum(), _LEAST)
    for part in blocks(len(turned)):
        turned[part] *= signal * share[part] / (signal * share[part] + noise[part])
    return np.asarray(times(turned, axes.T))


def _predicted(noisy: Floats, content: TallTable, mass: Floats, noise: Floats) -> Floats:
    """Posterior means of the parts that follow content and of items' own; ``noise``: [items], variances."""
    axes, _ = directions_of(gram(noisy, weights=1.0 / noise))
    followed = times(content, directions_of(gram(content), CONTENT_RANK)[0])
    followed *= np.sqrt(len(followed) / max(float(squared_lengths(followed).sum()), _LEAST))
    share, turned = mass / mass.mean(), times(noisy, axes)
    some = _sample(len(turned))
    known = followed[some].astype(np.float64)
    variances = [_variances(column, known, share[some], noise[some]) for column in turned[some].T]
    weights = _followed(turned, followed, share, noise, variances)
    own = np.array([own for _, own in variances])
    for part in blocks(len(turned)):
        guess = followed[part] @ weights
        kept = own * share[part, None]
        turned[part] = guess + kept / (kept + noise[part, None]) * (turned[part] - guess)
    return np.asarray(times(turned, axes.T))


def _sample(items: int) -> slice | NDArray[np.int64]:
    """All items, or so many of them, drawn once and for all, that two variances are known well enough."""
    if items <= _SAMPLED:
        return slice(None)
    return np.sort(np.random.default_rng(_SEED).choice(items, _SAMPLED, replace=False))


def _variances(noisy: Floats, content: Floats, share: Floats, noise: Floats) -> tuple[float, float]:
    """Of one axis [items]: the variance of the normal weights of ``content`` [items, w], and of an own part beside its
    ``share``."""
    items, width = content.shape
    excess = max(float((noisy**2 - noise).mean()), 1e-3 * float(noise.mean()))
    common = own = excess / 2
    for _ in range(_STEPS - 1):
        total = own * share + noise
        scaled = content / np.sqrt(total)[:, None]
        inverse = np.linalg.inv(scaled.T @ scaled + np.eye(width) / common)
        weights = inverse @ (content.T @ (noisy / total))
        kept = own * share / total
        alone = kept * (noisy - content @ weights)
        # Second moments under the posterior: of the weights, and of each own part beside its share.
        common = max(float(weights @ weights + np.trace(inverse)) / width, _LEAST)
        scaled *= np.sqrt(own * kept)[:, None]
        unsure = float((kept * noise / share).sum() + (inverse * (scaled.T @ scaled)).sum())
        own = max((float((alone**2 / share).sum()) + unsure) / items, _LEAST)
    return common, own


def _followed(
    noisy: TallTable, content: TallTable, share: Floats, noise: Floats, variances: Sequence[tuple[float, float]]
) -> Floats:
    """Posterior means of the weights of ``content`` in each axis: [w, axes]."""
    width, axes = content.shape[1], len(variances)
    together, wanted = np.zeros((axes, width, width)), np.zeros((width, axes))
    for part in blocks(len(noisy)):
        for axis, (_, own) in enumerate(variances):
            total = own * share[part] + noise[part]
            scaled = content[part] * (1.0 / np.sqrt(total)).astype(content.dtype)[:, None]
            together[axis] += scaled.T @ scaled
            wanted[:, axis] += content[part].T @ (noisy[part, axis] / total)
    for axis, (common, _) in enumerate(variances):
        wanted[:, axis] = np.linalg.solve(together[axis] + np.eye(width) / common, wanted[:, axis])
    return wanted
