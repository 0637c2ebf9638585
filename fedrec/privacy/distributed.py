"""Distributed noise: every device adds its share, so that a sum is private before anybody opens it.

A share is a discrete Gaussian (`discrete`), in whole steps of the sum's grid, with parameter t on every element.  It is
sized by who may be missing: of n devices asked, a share ``dropout`` may be gone and a share ``colluding`` may tell what
noise they added.  So a sum needs at least m = n - floor(dropout n) survivors, of whom h = m - ceil(colluding n) at
least keep their noise to themselves, and h t^2 = s^2 must do.  More survivors add more noise: post-processing.

**What the sum is worth.**  Write rho_s(x) = exp(-x^2 / 2 s^2).  For any real c, by Poisson's summation formula,

    sum over integers x of rho_s(x + c)  =  s sqrt(2 pi) (1 + d),   |d| <= e(s) = 2 sum_{k >= 1} exp(-2 pi^2 s^2 k^2).

1. Sums.  If X, Y are discrete Gaussians with parameters a, b, then P(X + Y = y) is rho_{(a^2+b^2)^1/2}(y) times a sum
   as above with s = a b / sqrt(a^2 + b^2) and c = -y a^2 / (a^2 + b^2), times constants.  So it is a discrete Gaussian
   of the added variance up to a factor within [(1 - e) / (1 + e), (1 + e) / (1 - e)], e = e(s).  Adding a share to a
   sum of others has s >= t / sqrt(2).  (The convolution lemma of Peikert, CRYPTO 2010, section 3; Kairouz, Liu and
   Steinke, ICML 2021, section 3, bound the same sum.)
2. The continuous mechanism.  Let x be an integer, Y a normal number of variance s^2 - r^2, and W an integer drawn with
   probability in proportion to rho_r(W - x - Y).  W is made of x + Y alone: post-processing of a Gaussian mechanism.
   Its probability is the integral over y of rho_q(y) rho_r(w - x - y) / (r sqrt(2 pi) (1 + d)), q^2 = s^2 - r^2, times
   a constant; without d that is in proportion to rho_s(w - x).  So W is x plus a discrete Gaussian of parameter s, up
   to a factor within [(1 - e(s)) / (1 + e(r)), (1 + e(s)) / (1 - e(r))].

Hence, with k the sum of the logarithms of these factors over all shares and elements (`slack`), every outcome of the
opened sum has a probability within exp(k) of one that a continuous Gaussian mechanism with deviation sqrt(s^2 - r^2)
and post-processing gives it.  If that is (epsilon, delta)-private, the sum is (epsilon + 2k, exp(k) delta)-private.
With r = 2 and t >= 3, k is below 1e-20 for 2^28 elements and 2^20 devices: nothing that double precision shows.
The Gaussian accountant applies, with noise multiplier sqrt(s^2 - r^2) / sensitivity: what shares are sized for.

**Adjacency.**  A device whose row is replaced by nothing still adds its noise, and who is asked stays as it is
(`adjacency`).  No amplification is claimed.  Reduction modulo the ring's size is post-processing too: if the noise
should ever not fit, the sum is wrong, not less private.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from fedrec.errors import PrivacyError
from fedrec.privacy.noise_range import check_noise_multiplier

# Steps: of the rounding that makes continuous noise discrete, and of the least and the largest share.
ROUNDING: Final = 2.0
LEAST_SHARE: Final = 3.0
MOST_SHARE: Final = 2.0**18
# A ring has room for so many deviations of all shares together: a wrong sum has a chance of 2^-120 an element.
ROOM: Final = 13.0


@dataclass(frozen=True)
class NoiseShares:
    """How the noise of one sum is divided.

    Args:
        noise_multiplier: z, of the Gaussian mechanism that the sum is accounted as; 0.01 to 1e9.
        devices: most devices in the cohort, from 1.
        dropout: share of them that may be missing from the sum.
        colluding: share of them that may tell the noise they added.

    Raises:
        PrivacyError: a value is out of range, or nobody's noise would be left.
    """

    noise_multiplier: float
    devices: int
    dropout: float
    colluding: float

    def __post_init__(self) -> None:
        check_noise_multiplier(self.noise_multiplier)
        if isinstance(self.devices, bool) or not isinstance(self.devices, int) or self.devices < 1:
            raise PrivacyError("noise is shared by a whole number of devices", value=self.devices)
        if not (0 <= self.dropout < 1 and 0 <= self.colluding < 1) or self.honest < 1:
            raise PrivacyError(
                "so many may drop out and collude that nobody's noise is left",
                value=(self.devices, self.dropout, self.colluding),
                action="Ask more devices, or assume less in secure_aggregation.dropout, corrupt and colluding",
            )

    @property
    def survivors(self) -> int:
        """m: the fewest devices in a sum that the noise is enough for."""
        return self.devices - math.floor(round(self.dropout * self.devices, 9))

    @property
    def honest(self) -> int:
        """h: the fewest of them whose noise nobody else knows."""
        return self.survivors - math.ceil(round(self.colluding * self.devices, 9))

    def deviation(self, sensitivity: float) -> float:
        """t: parameter of one share in steps, for a row that moves the sum by ``sensitivity`` steps at most.

        Raises:
            PrivacyError: it is below 3 or above 2^18 steps.
        """
        share = math.sqrt(self.needed(sensitivity) / self.honest)
        if not LEAST_SHARE <= share <= MOST_SHARE:
            action = f"Use a {'finer' if share < LEAST_SHARE else 'coarser'} resolution"
            raise PrivacyError("a device's share of the noise is not 3 to 2^18 steps", value=share, action=action)
        return share

    def needed(self, sensitivity: float) -> float:
        """s^2, the variance in squared steps that a sum must have of honest noise."""
        return (self.noise_multiplier * sensitivity) ** 2 + ROUNDING**2

    def multiplier(self, share: float, honest: int, sensitivity: float) -> float:
        """The z that ``honest`` shares of parameter ``share`` give: what may be claimed for a sum that was opened."""
        return math.sqrt(max(honest * share**2 - ROUNDING**2, 0.0)) / sensitivity


def smoothing(parameter: float) -> float:
    """e(s): how far the sum of rho_s over any shift of the integers is from s sqrt(2 pi), relative; s from 0.5."""
    return 2 * math.fsum(math.exp(-2 * (math.pi * parameter * k) ** 2) for k in range(1, 6))


def slack(share: float, devices: int, length: int) -> float:
    """k: by how much the logarithm of an outcome's probability differs from the continuous mechanism's, at most.

    Args:
        share: parameter t of one share, in steps, at least 3.
        devices: shares in the sum.
        length: elements.
    """
    if not share >= LEAST_SHARE:
        raise PrivacyError("a share of the noise is at least 3 steps", value=share)
    added, rounded = smoothing(share / math.sqrt(2)), smoothing(ROUNDING)
    # log((1 + e) / (1 - e)) = 2 atanh(e)
    return length * (2 * math.atanh(added) * (devices - 1) + 2 * math.atanh(rounded))
