"""Which devices are asked in a training round: all, a Poisson sample, a fixed number, or the group that is next.

Poisson sampling is what amplification by sampling is proven for; it is drawn from a cryptographic generator and, in a
deployment, from a key that nobody else knows.  A fixed-size sample is drawn without replacement.  Cyclic sampling
deals the devices once, at random, into groups that follow each other: a device's participations are exactly as many
rounds apart as there are groups, which is what banded noise needs.  Balls in bins deals so, too, but each device by
itself: sizes vary, and nobody's group says anything of another's, which is what its amplification is proven for.
Cyclic Poisson sampling deals as cyclic does, into as many groups as are set, and draws a Poisson sample of a group.
The key is kept with the run, so that a run that was cut off draws, and deals, as it did before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.run_plan import minimum_separation_of, probability_of, share_of
from fedrec.queries.cohorts import cyclic_cohort, drawn, fixed_cohort

_NEVER = 64  # bits


class Sampler:
    """Draws cohorts for one run over ``devices`` devices.

    ``key``: 32 bytes, the same after a restart; secret, but for cohorts that devices recompute
    (`fedrec.queries.cohorts`).

    Raises:
        ConfigError: cyclic sampling would deal groups that are smaller than what devices insist on.
    """

    def __init__(self, config: Config, devices: int, key: bytes) -> None:
        self.kind = config.training.sampling
        self.devices = devices
        self.share = share_of(config, devices)
        self.probability = probability_of(config, devices)
        self.groups = minimum_separation_of(config, devices)
        self._key = key
        _check_groups(config, devices, self.groups)

    @property
    def most(self) -> int:
        """Most devices in one cohort, which sums must have room for.

        A Poisson sample, or a group of balls in bins, is larger with probability 2^-64 (Bernstein's inequality), and
        then the rest of it is dropped.
        """
        if self.share == 1.0:
            return self.devices
        mean = self.share * self.devices
        match self.kind:
            case "full":
                return self.devices
            case "cyclic":
                return -(-self.devices // self.groups)
            case "poisson" | "balls-in-bins" | "cyclic-poisson":
                bits = _NEVER * math.log(2)
                return min(self.devices, math.ceil(mean + bits / 3 + math.sqrt(bits**2 / 9 + 2 * bits * mean)))
            case "fixed":
                return max(1, round(mean))
            case _:
                assert_never(self.kind)

    def cohort(self, number: int) -> Sequence[int]:
        """The places of the devices of round ``number``, from 1, ascending; may be empty where sizes vary."""
        if self.share == 1.0:
            return range(self.devices)
        if self.kind == "balls-in-bins":
            mine = np.flatnonzero(self._bins() == np.uint64((number - 1) % self.groups))
            return [int(place) for place in mine][: self.most]
        if self.kind == "fixed":
            return fixed_cohort(self._key, self.devices, self.most, number)
        if self.kind == "poisson":
            below = drawn(self._key, self.devices, number) < np.uint64(int(self.share * 2**64))
            return [int(place) for place in np.flatnonzero(below)][: self.most]
        group = cyclic_cohort(self._key, self.devices, self.groups, number)
        if self.kind == "cyclic-poisson" and self.probability < 1:
            bits = drawn(self._key, self.devices, number)
            group = [place for place in group if bits[place] < np.uint64(int(self.probability * 2**64))]
        return group[: self.most]

    def _bins(self) -> NDArray[np.uint64]:
        """Each device's group, from 0: 64 bits times the number of groups, over 2^64. Dealt for each number anew."""
        bits = drawn(randomness.derived_key(self._key, "balls in bins", self.groups), self.devices, 0)
        half, groups = np.uint64(32), np.uint64(self.groups)
        low = (bits & np.uint64(2**32 - 1)) * groups >> half
        return np.asarray((bits >> half) * groups + low >> half)


def _check_groups(config: Config, devices: int, groups: int) -> None:
    least = config.secure_aggregation.minimum_cohort
    fixed = groups > 1 and config.training.sampling == "cyclic"  # of the others, `sampled_cohorts` looks at the chance
    if fixed and config.secure_aggregation.protocol == "secagg+" and devices // groups < least:
        raise ConfigError(
            f"{devices} devices dealt into {groups} groups make cohorts below {least}, in which no device takes part",
            value=devices // groups,
            action="Raise training.cohort, or set secure_aggregation.minimum_cohort and minimum_survivors lower",
        )
