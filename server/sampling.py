"""Which devices are asked in a training round: all, a Poisson sample, or a fixed number.

Poisson sampling is what amplification by sampling is proven for; it is drawn from a cryptographic generator and, in a
deployment, from a key that nobody else knows.  A fixed-size sample is drawn without replacement and accounted without
amplification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fedrec import randomness
from fedrec.config import Config
from server.plan import share_of

_NEVER = 64  # bits


class Sampler:
    """Draws cohorts for one run over ``devices`` devices."""

    def __init__(self, config: Config, devices: int) -> None:
        self.kind = config.training.sampling
        self.devices = devices
        self.share = share_of(config, devices)
        seeded = config.run.reproducible
        self._key = randomness.key(config.run.seed, "cohorts") if seeded else randomness.fresh_key()

    @property
    def most(self) -> int:
        """Most devices in one cohort, which sums must have room for.

        A Poisson sample is larger with probability 2^-64 (Bernstein's inequality), and then the rest of it is dropped.
        """
        if self.share == 1.0:
            return self.devices
        mean = self.share * self.devices
        if self.kind == "poisson":
            bits = _NEVER * math.log(2)
            return min(self.devices, math.ceil(mean + bits / 3 + math.sqrt(bits**2 / 9 + 2 * bits * mean)))
        return max(1, round(mean))

    def cohort(self, number: int) -> Sequence[int]:
        """The places of the devices of round ``number``, ascending; may be empty for a Poisson sample."""
        if self.share == 1.0:
            return range(self.devices)
        places = np.arange(self.devices, dtype=np.uint64)
        drawn = randomness.prf_uint64(self._key, places, np.full(self.devices, number, np.uint64))
        if self.kind == "poisson":
            return [int(place) for place in np.flatnonzero(drawn < np.uint64(int(self.share * 2**64)))][: self.most]
        return sorted(int(place) for place in np.argsort(drawn, kind="stable")[: self.most])
