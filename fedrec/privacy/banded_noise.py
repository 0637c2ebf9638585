"""Banded noise as a mechanism: discrete Gaussians from kept keys, correlated as they are asked for.

Each round draws whole numbers Z_t, of the discrete Gaussian, on a grid that is finer than the sum's by a power of two,
adds what the rounds before contribute, rounded down, and is rounded to the sum's grid at last.

What it is worth.  Let W_t be round t's sum X_t with its noise N_t, both on the fine grid; what is shown is W_t rounded,
post-processing of it.  By construction (C N)_t = C_tt (Z_t + f_t) with f_t a function of N_1 .. N_(t-1), whose elements
differ by less than E = 2 + bands / 64, whatever these are (`banded.correlated`).  With X' in place of X, and given what
was shown before, N_s is W_s - X_s or W_s - X'_s.  So Z_t has to be another number by (C (X - X'))_t / C_tt, and by the
difference of two f_t: per element less than E.  Z_t is a discrete Gaussian of parameter s / C_tt, C_tt <= 1, worth a
continuous one with r^2 = 4 less variance (`fedrec.privacy.distributed`, part 2).  Hence all rounds together are
adaptive Gaussian releases, T rounds of d elements, whose squared distances in units of their noise add up to at most

    (|C (X - X')| + E sqrt(T d))^2 / (s^2 - r^2),

and cost what one Gaussian of that distance does (Smith and Thakurta, 2022; Whitehouse et al., ICML 2023, on bounds that
always hold).  |C (X - X')| is at most sqrt(k) sensitivities for k >= 1 participations (`banded`), so

    s^2 = (sigma + z E sqrt(T d))^2 + r^2,   sigma = z sensitivities,

gives what is accounted.  Sigma is above 2^36 steps of the fine grid where the sum's steps are no larger, so s is
hardly larger.  Where participations are sampled (cyclic Poisson), the same holds turn by turn: rounding looks back over
fewer rounds than lie between two turns of a device, so that a turn alone moves what is rounded until the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ConfigError, PrivacyError
from fedrec.privacy.banded import best_bands, coefficients, correlated, encoder
from fedrec.privacy.discrete import discrete_gaussian
from fedrec.privacy.distributed import ROUNDING
from fedrec.privacy.mechanism import CostOverRounds, GaussianMechanism

_FINEST: Final = 60  # binary digits below the sum's grid
_DEVIATION: Final = 2.0**37  # of the noise, at most, in steps of the fine grid


class BandedNoise:
    """Correlated noise of a whole run, in whole steps of the sum's grid.

    Nothing of it needs to be kept but the keys: after a restart the streams so far are drawn again, which takes as long
    as drawing them did.  While it runs, ``bands`` vectors of the model's size are held.

    A round that is asked twice gets the same noise twice, so of such sums only one may ever be shown.
    """

    def __init__(self, rounds: int, bands: int, key_of: Callable[[int], bytes], noise_multiplier: float) -> None:
        """``key_of``: the 32-byte key of a round, 1 to ``rounds``; a different one for each, the same at every call."""
        self.rounds, self.bands = rounds, bands
        self.noise_multiplier = noise_multiplier
        self._encoded = encoder(rounds, coefficients(rounds, bands))
        self._key_of = key_of
        self._drawn: Iterator[NDArray[np.int64]] = iter(())
        self._number, self._last = 0, np.zeros(0, np.int64)
        self._deviation: float | None = None

    def of(self, number: int, length: int, deviation: float) -> NDArray[np.float64]:
        """The noise of round ``number`` in whole steps, for a deviation of so many; float64 [length].

        Raises:
            PrivacyError: there is no such round in the run that the noise was planned for, or the deviation is another
                than of other rounds, or above 2^37 steps.
        """
        if not 1 <= number <= self.rounds:
            raise PrivacyError(f"banded noise was planned for rounds 1 to {self.rounds}", value=number)
        if self._deviation not in (None, deviation):
            raise PrivacyError("rounds that share noise need noise of one size", value=(self._deviation, deviation))
        self._deviation = deviation
        digits = min(_FINEST, math.floor(math.log2(_DEVIATION / deviation)))
        if digits < 0:
            raise PrivacyError("banded noise is too many steps", value=deviation, action="Use a coarser resolution")
        if number < self._number or len(self._last) != length or not self._number:
            self._drawn, self._number = (
                correlated(self._encoded, self._streams(length, math.ldexp(deviation, digits))),
                0,
            )
        while self._number < number:
            self._last = next(self._drawn)
            self._number += 1
        half = 1 << digits >> 1
        return ((self._last + half) >> digits).astype(np.float64)

    def _streams(self, length: int, deviation: float) -> Iterator[NDArray[np.int64]]:
        """Z, row by row, for a deviation on the fine grid."""
        off = (2 + self.bands / 64) * math.sqrt(self.rounds * length)
        whole = math.hypot(deviation + self.noise_multiplier * off, ROUNDING)
        for t in range(self.rounds):
            yield discrete_gaussian(self._key_of(t + 1), whole / self._encoded[t, t], length)


@dataclass(frozen=True)
class BandedMechanism(GaussianMechanism):
    """Gaussian noise that is correlated over rounds, so that it cancels in what a run adds up; see `banded`.

    For a row whose participations lie at least as many rounds apart as there are bands, its rounds cost together what
    as many rounds of independent noise of the same multiplier do.
    """

    correlated = True
    divisible = False

    @classmethod
    def over_rounds(cls, cost: CostOverRounds, bands: int, key_of: Callable[[int], bytes]) -> BandedNoise:
        """See `Mechanism.over_rounds`. Raises ConfigError as `chosen_bands`."""
        return BandedNoise(cost.rounds, chosen_bands(bands, cost), key_of, cost.noise_multiplier)

    @classmethod
    def details(cls, cost: CostOverRounds, bands: int) -> dict[str, int]:
        """See `Mechanism.details`. Raises ConfigError as `chosen_bands`."""
        return {"bands": chosen_bands(bands, cost)}


def chosen_bands(bands: int, cost: CostOverRounds) -> int:
    """The bands of banded noise for a training cost: as set, or, of 0, the best number that its participations allow.

    Raises:
        ConfigError: more are set than the cost has rounds, or than lie between two participations of a device.
    """
    most = min(cost.rounds, cost.minimum_separation)
    if bands > most:
        raise ConfigError(
            f"privacy.bands is at most {most} where a device takes part every {cost.minimum_separation} rounds",
            value=bands,
            action="Set privacy.bands lower, or to 0 for the best number",
        )
    return bands or best_bands(cost.rounds, cost.minimum_separation)
