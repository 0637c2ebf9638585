"""Cohorts of a fixed size, drawn anew each round and kept secret: m of n devices without replacement, Gaussian noise.

Neighbours: one device's data are replaced by nothing; n, m and who is in the roster stay as they are.  Unlike a
Poisson sample, a cohort without the device has another in its place, so its data tell, too, whether it was drawn.

**The pair.**  Let q = m/n < 1, and sums be in units of the sensitivity, with noise z.  Draw m of the other n - 1
devices, and one of these m; let s be the sum over the rest, y what that one adds and x what the device adds, |x|, |y|
<= 1.  A cohort with the device is the rest and the device, one without it the rest and the other: both have the right
distribution.  So given s, x and y, which tell no more of the data, the outputs with and without the device's data
are, moved by s,

    P = (1 - q) N(y) + q N(x)   and   Q = (1 - q) N(y) + q N(0),      N(c) = Normal(c, z^2 I),

and by joint convexity the divergence is at most the largest of these over x and y.

**The worst x and y.**  For three points in any space, weights a, b >= 0, and F = phi_1 - a phi_2 - b phi_3 with phi_i
the density of N(theta_i), the integral of max(F, 0) depends on the three distances only.  Move the points smoothly,
with velocities v_i.  Since d phi_i / dt = -div(phi_i v_i), integrating by parts gives, as the limit of smooth convex
functions psi in place of max(., 0), the derivative

    integral of psi''(F) grad F . (phi_1 v_1 - a phi_2 v_2 - b phi_3 v_3).

Where F = 0, with A = a phi_2, B = b phi_3, u = theta_1 - theta_2, w = theta_1 - theta_3, grad F = (A u + B w) / z^2,
and the second factor is A u' + B w'.  Their product is, up to 1 / z^2,

    ((A^2 + A B) (|u|^2)' + (B^2 + A B) (|w|^2)' - A B (|theta_2 - theta_3|^2)') / 2.

So the divergence grows with the distances of the first point to the others, and falls as those two move apart.
Squared distances of three points form a convex set, so any two triples are joined by a line of such.

- H_alpha(P || Q), alpha >= 1, is q times that integral for theta = (x, y, 0), a = (1 - q)(alpha - 1) / q, b = alpha.
  For given |y| = r it is largest at |x| = 1 and |x - y| = 1 + r.  Along r, the product above is (A^2 + A B)(1 + r) -
  A B r > 0: the worst is r = 1, **y = -x**.
- H_alpha(Q || P), alpha >= 1, is q times it for theta = (0, y, x), with the same weights: largest at |x| = |y| = 1
  and no distance between these, **y = x**; then it is q times the Gaussian's at 1 + (alpha - 1) / q.

Both are met, so no tighter account of one round is true.  The second is what amplification by sampling is known as
(Balle, Barthe and Gaboardi, Privacy Amplification by Subsampling, NeurIPS 2018); their theorem, applied to the first,
takes twice the sensitivity and is looser.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from fedrec.privacy.dominating_pair import DominatingPair, from_profile

Floats = NDArray[np.float64]
_TAIL: Final = 9.0  # deviations; larger losses have a chance below 1e-18
_MOST_POINTS: Final = 1 << 20
_MOST_LOSS: Final = 600.0  # beyond, numbers overflow, and no epsilon is of interest


def with_over_without(noise_multiplier: float, probability: float, epsilons: Floats) -> Floats:
    """The largest H(P || Q) at alpha = e^epsilon, epsilon >= 0, of one round; ``probability`` q in (0, 1].

    At y = -x = -1 P exceeds alpha Q beyond a threshold w: with t = exp(w / z^2), k = exp(1 / (2 z^2)) and c = 1 - q,
    q t^2 - alpha q k t - c (alpha - 1) = 0.
    """
    z, q = noise_multiplier, probability
    alphas = np.exp(epsilons)
    root = np.sqrt(1 + 4 * (1 - q) / q * np.expm1(epsilons) * np.exp(-2 * epsilons - 1 / z**2))
    threshold = z**2 * (epsilons - math.log(2) + np.log1p(root)) + 0.5
    gained = q * ndtr((1 - threshold) / z) - q * np.exp(epsilons + log_ndtr(-threshold / z))
    lost = (1 - q) * (alphas - 1) * ndtr(-(threshold + 1) / z)
    return np.asarray(np.maximum(gained - lost, 0.0))


def without_over_with(noise_multiplier: float, probability: float, epsilons: Floats) -> Floats:
    """The largest H(Q || P) at alpha = e^epsilon, epsilon >= 0, of one round."""
    z, q = noise_multiplier, probability
    inner = np.log1p(np.expm1(epsilons) / q)
    head, tail = log_ndtr(0.5 / z - inner * z), inner + log_ndtr(-0.5 / z - inner * z)
    return np.asarray(q * np.maximum(np.exp(head) - np.exp(tail), 0.0))


@lru_cache(maxsize=32)
def dominating_pair(noise_multiplier: float, probability: float, interval: float) -> DominatingPair:
    """Of one round, on a grid of losses up to one that has a chance below 1e-18, or 600."""
    z = noise_multiplier
    points = math.ceil(min(0.5 / z**2 + _TAIL / z + 1, _MOST_LOSS) / interval) + 1
    epsilons: Floats = interval * np.arange(min(points, _MOST_POINTS), dtype=np.float64)
    forth = with_over_without(z, probability, epsilons)
    return from_profile(interval, forth, without_over_with(z, probability, epsilons))
