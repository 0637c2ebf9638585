"""The noise: Gaussian, drawn from a cryptographic generator, on the grid of the sum it is added to.

What is guaranteed.  An opened sum is a whole number of steps of a resolution.  Rounding ideal Gaussian noise to whole
steps and adding it gives exactly what adding the ideal noise and rounding afterwards would give: post-processing, so
the guarantee of the continuous mechanism stands, at any resolution.  Since the resolution is a power of two and all
numbers stay below 2^53 steps, the addition is exact, and a noisy sum shows nothing in its last bits, which is where
floating-point noise has been shown to leak the sum (Mironov, CCS 2012).

What is not.  The noise is made by inverting the normal distribution in double precision from 128 random bits, not by a
sampler that is proven exact (Canonne, Kamath and Steinke, NeurIPS 2020).  Step probabilities are off by about one part
in 10^13 and the tail ends at 13 standard deviations (mass 2^-127); neither is part of the stated delta.
The time that a draw takes is the same for every value up to branches in the inversion, and is not a secret channel
that fedrec defends.

User-level and example-level privacy differ only in what a row is, that is, in whose sensitivity is given here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.errors import PrivacyError

_MOST_STEPS = 2.0**48  # of the standard deviation: 13 of them and the sum itself then stay well below 2^53


@dataclass(frozen=True)
class GaussianMechanism:
    """Gaussian noise with standard deviation ``noise_multiplier`` times ``sensitivity``, in steps of ``resolution``.

    Args:
        noise_multiplier: z, 0.01 to 1e9.
        sensitivity: most by which one row can change the opened sum, L2; see `grid_sensitivity`.
        resolution: the sum's step, a power of two.

    Raises:
        PrivacyError: a value is outside its range, or the noise is more than 2^48 steps.
    """

    noise_multiplier: float
    sensitivity: float
    resolution: float

    def __post_init__(self) -> None:
        # Here, because accounting takes a second to import, and devices need the grid of a sum only.
        from fedrec.privacy.accountant import check_noise_multiplier

        check_noise_multiplier(self.noise_multiplier)
        _check_positive("sensitivity", self.sensitivity)
        _check_resolution(self.resolution)
        if not self.standard_deviation / self.resolution <= _MOST_STEPS:
            steps = self.standard_deviation / self.resolution
            raise PrivacyError("the noise is too many steps", value=f"{steps:g}", action="Use a coarser resolution")

    @property
    def standard_deviation(self) -> float:
        """Of the noise on each element, in the sum's own unit, before rounding to steps."""
        return self.noise_multiplier * self.sensitivity

    def noise(self, key: bytes, length: int) -> NDArray[np.float64]:
        """Noise for a sum of ``length`` elements; float64 [length], each a whole multiple of the resolution.

        ``key``: 32 bytes used for this release and never again: from the operating system in a deployment
        (`randomness.fresh_key`), from the run's seed only in a simulation.

        Raises:
            PrivacyError: the key is not 32 bytes, or the length is negative.
        """
        noise = randomness.gaussian(key, length)
        noise *= self.standard_deviation / self.resolution
        np.rint(noise, out=noise)
        noise *= self.resolution
        return noise


def grid_sensitivity(bound: float, resolution: float, length: int) -> float:
    """Most by which one row changes a sum of ``length`` elements once contributions are rounded; L2.

    A row of L2 norm at most ``bound`` changes the real sum by at most that.  It also moves the rounding of the
    contribution it is part of, by at most one step an element: ``resolution`` times the root of ``length`` more.

    Raises:
        PrivacyError: the bound or resolution is not positive and finite, or the length is below 1.
    """
    _check_positive("bound", bound)
    _check_resolution(resolution)
    if length < 1:
        raise PrivacyError("a sum's length must be at least 1", value=length)
    return bound + resolution * math.sqrt(length)


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise PrivacyError(f"a {name} must be positive and finite", value=value)


def _check_resolution(resolution: float) -> None:
    _check_positive("resolution", resolution)
    if math.frexp(resolution)[0] != 0.5:
        action = "Take it from fedrec.secagg.ring.resolution_for"
        raise PrivacyError("a resolution must be a power of two", value=resolution, action=action)
