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

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.shared_grams import SharedGrams
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

    Time grows as items times r^2 (``items``) or the square of `CONTENT_RANK` (``content``), memory as the sum.

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
    share, turned = mass / mass.mean(), np.asarray(times(noisy, axes), dtype=np.float64)
    every = SharedGrams(followed, share, noise)
    if len(turned) > _SAMPLED:
        some = np.sort(np.random.default_rng(_SEED).choice(len(turned), _SAMPLED, replace=False))
        known = followed[some].astype(np.float64)
        grams = SharedGrams(known, share[some], noise[some])
        common, own = _variances(turned[some], known, grams, share[some], noise[some])
    else:
        common, own = _variances(turned, followed, every, share, noise)
    weights = _followed(turned, followed, every, share, noise, common, own)
    for part in blocks(len(turned)):
        guess = followed[part] @ weights
        kept = own * share[part, None]
        turned[part] = guess + kept / (kept + noise[part, None]) * (turned[part] - guess)
    return np.asarray(times(turned, axes.T))


def _variances(
    noisy: Floats, content: TallTable, grams: SharedGrams, share: Floats, noise: Floats
) -> tuple[Floats, Floats]:
    """Of each axis of ``noisy`` [items, axes]: the variance of the normal weights of ``content`` [items, w], and of an
    own part beside its ``share``."""
    items, width = content.shape
    share, noise = share[:, None], noise[:, None]
    excess = np.maximum((noisy**2 - noise).mean(axis=0), 1e-3 * float(noise.mean()))
    common = own = excess / 2
    for _ in range(_STEPS - 1):
        total = own * share + noise
        inverse = np.linalg.inv(grams.of(_precision(own)) + np.eye(width) / common[:, None, None])
        weights = np.einsum("avw,wa->va", inverse, content.T @ (noisy / total))
        kept = own * share / total
        alone = kept * (noisy - content @ weights)
        # Second moments under the posterior: of the weights, and of each own part beside its share.
        trace = np.trace(inverse, axis1=1, axis2=2)
        spread = (inverse * grams.of(_own_spread(own))).sum(axis=(1, 2))
        common = np.maximum(((weights**2).sum(axis=0) + trace) / width, _LEAST)
        unsure = (kept * noise / share).sum(axis=0) + spread
        own = np.maximum(((alone**2 / share).sum(axis=0) + unsure) / items, _LEAST)
    return common, own


def _precision(own: Floats) -> Callable[[Floats], Floats]:
    """1 / (own q + 1): one over the variance of an entry, in units of its noise."""
    return lambda ratio: np.asarray(1.0 / (own * ratio + 1.0))


def _own_spread(own: Floats) -> Callable[[Floats], Floats]:
    """How much of the weights' variance the own part takes over, beside its share."""
    return lambda ratio: np.asarray(own**2 * ratio / (own * ratio + 1.0) ** 2)


def _followed(
    noisy: TallTable,
    content: TallTable,
    grams: SharedGrams,
    share: Floats,
    noise: Floats,
    common: Floats,
    own: Floats,
) -> Floats:
    """Posterior means of the weights of ``content`` in each axis: [w, axes]."""
    width = content.shape[1]
    wanted = np.zeros((width, len(own)))
    for part in blocks(len(noisy)):
        wanted += content[part].T @ (noisy[part] / (own * share[part, None] + noise[part, None]))
    together = grams.of(_precision(own)) + np.eye(width) / common[:, None, None]
    return np.asarray(np.linalg.solve(together, wanted.T[:, :, None])[:, :, 0].T)
