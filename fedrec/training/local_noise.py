"""What a device that adds all noise itself is told for one turn; apart from `local`, which needs torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LocalNoise:
    """How one turn of local DP-SGD is drawn.

    ``multiplier``: the noise's deviation over what one interaction moves a step's sum, 0 = none.  ``probability``: of
    each interaction to be in a step.  ``key``: 32 bytes that decide samples and noise, for this turn only and secret;
    from the run's seed in simulations.
    """

    multiplier: float
    probability: float
    key: bytes
