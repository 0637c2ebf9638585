"""Which devices are asked in a training round: all, a Poisson sample, or a fixed number.

Poisson sampling is what amplification by sampling is proven for; it is drawn from a cryptographic generator and, in a
deployment, from a key that nobody else knows.  A fixed-size sample is drawn without replacement and accounted without
amplification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedrec import randomness
from fedrec.config import Config
from server.plan import share_of


class Sampler:
    """Draws cohorts for one run over ``devices`` devices."""

    def __init__(self, config: Config, devices: int) -> None:
        self.kind = config.training.sampling
        self.devices = devices
        self.share = share_of(config, devices)
        seeded = config.run.reproducible
        self._key = randomness.key(config.run.seed, "cohorts") if seeded else randomness.fresh_key()

    def cohort(self, number: int) -> Sequence[int]:
        """The places of the devices of round ``number``, ascending; may be empty for a Poisson sample."""
        if self.share == 1.0:
            return range(self.devices)
        places = np.arange(self.devices, dtype=np.uint64)
        drawn = randomness.prf_uint64(self._key, places, np.full(self.devices, number, np.uint64))
        if self.kind == "poisson":
            return [int(place) for place in np.flatnonzero(drawn < np.uint64(int(self.share * 2**64)))]
        size = max(1, round(self.share * self.devices))
        return sorted(int(place) for place in np.argsort(drawn, kind="stable")[:size])
