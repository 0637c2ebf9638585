"""What a device insists on, whatever the server says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fedrec.errors import ConfigError
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.parameters import Assumptions, check_exists, guarantee


@dataclass(frozen=True)
class Thresholds:
    """A device's conditions for taking part.

    Args:
        cohort: the fewest devices that advertise keys, at least 2.
        survivors: the fewest devices in the sum, at least 2 and at most ``cohort``.
        assumptions: what neighbours and threshold must guarantee; ``correctness`` is the server's concern only.
        rounds_a_day: the most sums in any 24 hours.
        attempts: how often one round may be asked; an attempt counts once the device has sent its masked vector.
        largest: the most devices that advertise keys; 0 = any number.

    Raises:
        ConfigError: a number is out of range.
    """

    cohort: int = 20
    survivors: int = 15
    assumptions: Assumptions = field(default_factory=Assumptions)
    rounds_a_day: int = 1000
    attempts: int = 3
    largest: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.survivors <= self.cohort:
            raise ConfigError("thresholds need 2 <= survivors <= cohort", value=(self.survivors, self.cohort))
        if self.rounds_a_day < 1 or self.attempts < 1:
            raise ConfigError("thresholds need rounds and attempts from 1", value=(self.rounds_a_day, self.attempts))

    def for_noise(self, survivors: int, largest: int) -> Thresholds:
        """These thresholds for a sum whose devices add its noise: no sum of fewer than the noise was shared out for.

        Nor one of a larger cohort: the same share of it would be more devices that may tell their noise.  With zeros,
        the thresholds as they are.
        """
        if not largest:
            return self
        least = max(self.survivors, survivors)
        return replace(self, survivors=least, cohort=max(self.cohort, least), largest=largest)

    def check_cohort(self, size: int, degree: int, threshold: int) -> None:
        """Refuse a cohort that is too small, or parameters that do not guarantee enough.

        Raises:
            RefusedError: SMALL_COHORT or WEAK_PARAMETERS.
        """
        if size < self.cohort:
            raise RefusedError(Reason.SMALL_COHORT, f"this device wants at least {self.cohort} in a cohort", value=size)
        if self.largest and size > self.largest:
            what = f"the noise of this sum is shared out for {self.largest} devices at most"
            raise RefusedError(Reason.WEAK_PARAMETERS, what, value=size)
        shown = (size, degree, threshold)
        if not check_exists(*shown):
            raise RefusedError(Reason.WEAK_PARAMETERS, "no such neighbours and threshold exist", value=shown)
        if 2 * threshold <= degree:
            raise RefusedError(Reason.WEAK_PARAMETERS, "the threshold must be above half the neighbours", value=shown)
        if not guarantee(*shown, self.assumptions).holds(self.assumptions, for_devices=True):
            wanted = f"at least {self.assumptions.security:g} bits"
            raise RefusedError(Reason.WEAK_PARAMETERS, f"neighbours and threshold must guarantee {wanted}", value=shown)

    def check_survivors(self, count: int) -> None:
        """Refuse a sum of too few. Raises RefusedError(FEW_SURVIVORS)."""
        if count < self.survivors:
            what = f"this device wants at least {self.survivors} in a sum"
            raise RefusedError(Reason.FEW_SURVIVORS, what, value=count)
