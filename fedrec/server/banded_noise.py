"""The server's half of banded noise: standard normal streams from kept keys, correlated as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.errors import PrivacyError
from fedrec.privacy.banded import coefficients, correlated, encoder


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
