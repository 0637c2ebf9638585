"""Banded noise as a mechanism: standard normal streams from kept keys, correlated as they are asked for.

It is continuous noise that is rounded to the grid after it was correlated, and no proven discrete sampler: its normal
numbers are made by inverting the normal distribution in double precision from 128 random bits each.  Step probabilities
are off by about one part in 10^13 and the tail ends at 13 standard deviations (mass 2^-127); neither is part of the
stated delta.  Whole numbers do not go through the correlation: C^-1 mixes rounds with real coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.errors import ConfigError, PrivacyError
from fedrec.privacy.banded import best_bands, coefficients, correlated, encoder
from fedrec.privacy.mechanism import CostOverRounds, GaussianMechanism


class BandedNoise:
    """Correlated noise of a whole run, for a noise multiplier and a sensitivity of 1, before rounding to a grid.

    Nothing of it needs to be kept but the keys: after a restart the streams so far are drawn again, which takes as long
    as drawing them did.  While it runs, ``bands`` vectors of the model's size are held.

    A round that is asked twice gets the same noise twice, so of such sums only one may ever be shown.
    """

    def __init__(self, rounds: int, bands: int, key_of: Callable[[int], bytes]) -> None:
        """``key_of``: the 32-byte key of a round, 1 to ``rounds``; a different one for each, the same at every call."""
        self.rounds, self.bands = rounds, bands
        self._encoded = encoder(rounds, coefficients(rounds, bands))
        self._key_of = key_of
        self._drawn: Iterator[NDArray[np.float64]] = iter(())
        self._number, self._last = 0, np.zeros(0)

    def of(self, number: int, length: int) -> NDArray[np.float64]:
        """The noise of round ``number``; float64 [length].

        Raises:
            PrivacyError: there is no such round in the run that the noise was planned for.
        """
        if not 1 <= number <= self.rounds:
            raise PrivacyError(f"banded noise was planned for rounds 1 to {self.rounds}", value=number)
        if number < self._number or len(self._last) != length or not self._number:
            streams = (randomness.gaussian(self._key_of(t), length) for t in range(1, self.rounds + 1))
            self._drawn, self._number = correlated(self._encoded, streams), 0
        while self._number < number:
            self._last = next(self._drawn)
            self._number += 1
        return self._last.copy()


@dataclass(frozen=True)
class BandedMechanism(GaussianMechanism):
    """Gaussian noise that is correlated over rounds, so that it cancels in what a run adds up; see `banded`.

    For a row whose participations lie at least as many rounds apart as there are bands, its rounds cost together what
    as many rounds of independent noise of the same multiplier do.
    """

    correlated = True
    divisible = False

    @property
    def standard_deviation(self) -> float:
        """See `Mechanism.standard_deviation`: of each round's own part, before it is rounded."""
        return self.noise_multiplier * self.sensitivity

    def noise(self, key: bytes, length: int) -> NDArray[np.float64]:
        """See `Mechanism.noise`: of a round by itself."""
        return self.on_grid(randomness.gaussian(key, length))

    @classmethod
    def over_rounds(cls, cost: CostOverRounds, bands: int, key_of: Callable[[int], bytes]) -> BandedNoise:
        """See `Mechanism.over_rounds`. Raises ConfigError as `chosen_bands`."""
        return BandedNoise(cost.rounds, chosen_bands(bands, cost), key_of)

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
