"""What a device insists on, whatever the server says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fedrec.errors import ConfigError
from fedrec.secagg.committee import CommitteeSize, committee_size
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.parameters import Assumptions, GraphParameters, check_exists, choose, guarantee, half_floor


@dataclass(frozen=True)
class Thresholds:
    """A device's conditions for taking part.

    Args:
        cohort: the fewest devices that advertise keys, at least 2.
        survivors: the fewest devices in the sum, at least 2 and at most ``cohort``.
        assumptions: what neighbours and threshold must guarantee.  ``dropout`` of the eligible may be missing from a
            cohort and from a sum, and no more, whatever ``cohort`` and ``survivors`` allow.
        rounds_a_day: the most sums in any 24 hours.
        attempts: how often one round may be asked; an attempt counts once the device has sent its masked vector.
        largest: the most devices that are eligible; 0 = any number.
        graph: neighbours and threshold, in place of what `parameters.choose` gives; held to the assumptions.

    Raises:
        ConfigError: a number is out of range.
    """

    cohort: int = 20
    survivors: int = 15
    assumptions: Assumptions = field(default_factory=Assumptions)
    rounds_a_day: int = 1000
    attempts: int = 3
    largest: int = 0
    graph: GraphParameters | None = None

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

    def parameters(self, size: int) -> GraphParameters:
        """Neighbours and threshold for ``size`` eligible devices: what everybody computes, and the server must show.

        Raises:
            RefusedError: WEAK_PARAMETERS, none is safe for so many, or ``graph`` is not.
        """
        if self.graph is None or self.graph.degree >= size:
            try:
                return choose(size, self.assumptions)
            except ConfigError as error:
                raise RefusedError(Reason.WEAK_PARAMETERS, error.what, value=error.value, action=error.action) from None
        self.check_graph(size, self.graph)
        return self.graph

    def check_safe(self, size: int) -> None:
        """That there are neighbours, a threshold and a committee for ``size`` devices. Raises RefusedError."""
        self.parameters(size)
        self.committee(size)

    def least_in_half(self, size: int) -> int:
        """The fewest survivors in a stretch of half a neighbourhood on the ring, see `parameters.half_floor`."""
        return half_floor(size, self.parameters(size).degree, self.assumptions)

    def committee(self, size: int) -> CommitteeSize:
        """Who of ``size`` devices vouches for the survivors, and how many at least. Raises RefusedError as above."""
        try:
            return committee_size(size, self.assumptions)
        except ConfigError as error:
            raise RefusedError(Reason.WEAK_PARAMETERS, error.what, value=error.value, action=error.action) from None

    def check_graph(self, size: int, graph: GraphParameters) -> None:
        """Refuse neighbours and threshold that do not guarantee enough. Raises RefusedError(WEAK_PARAMETERS)."""
        shown = (size, graph.degree, graph.threshold)
        if not check_exists(*shown):
            raise RefusedError(Reason.WEAK_PARAMETERS, "no such neighbours and threshold exist", value=shown)
        if 2 * graph.threshold <= graph.degree:
            raise RefusedError(Reason.WEAK_PARAMETERS, "the threshold must be above half the neighbours", value=shown)
        if not guarantee(*shown, self.assumptions).holds(self.assumptions, for_devices=True):
            wanted = f"at least {self.assumptions.security:g} bits"
            raise RefusedError(Reason.WEAK_PARAMETERS, f"neighbours and threshold must guarantee {wanted}", value=shown)

    def least_cohort(self, eligible: int) -> int:
        """The fewest of so many eligible devices that this device takes part with."""
        return max(self.cohort, self.assumptions.floor(eligible))

    def least_sum(self, eligible: int) -> int:
        """The fewest of so many eligible devices in a sum that this device helps to open."""
        return max(self.survivors, self.assumptions.floor(eligible))

    def check_cohort(self, count: int, eligible: int) -> None:
        """Refuse a cohort of ``count`` of the ``eligible`` devices that is too small, or more than noise is shared for.

        Raises:
            RefusedError: SMALL_COHORT or WEAK_PARAMETERS.
        """
        least = self.least_cohort(eligible)
        if count < least:
            what = f"this device wants at least {least} of {eligible} devices in a cohort"
            raise RefusedError(Reason.SMALL_COHORT, what, value=count)
        if self.largest and eligible > self.largest:
            what = f"the noise of this sum is shared out for {self.largest} devices at most"
            raise RefusedError(Reason.WEAK_PARAMETERS, what, value=eligible)

    def check_survivors(self, count: int, eligible: int) -> None:
        """Refuse a sum of too few. Raises RefusedError(FEW_SURVIVORS)."""
        least = self.least_sum(eligible)
        if count < least:
            what = f"this device wants at least {least} of {eligible} devices in a sum"
            raise RefusedError(Reason.FEW_SURVIVORS, what, value=count)
