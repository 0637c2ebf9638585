"""How much noise a device adds to its local step, where it adds all of it itself, and from which key.

Apart from `local`, which needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fedrec.config import Config
from fedrec.randomness import fresh_key, key
from fedrec.users import UserBatch


@dataclass(frozen=True)
class LocalNoise:
    """How one local DP-SGD step of a device is drawn.

    ``multiplier``: the noise's deviation over what one interaction moves a step's sum, 0 = none.  ``probability``: of
    each interaction to be in a step.  ``key``: 32 bytes that decide samples and noise, for this round only and secret;
    from the run's seed in simulations.
    """

    multiplier: float
    probability: float
    key: bytes


class NoiseCost(Protocol):
    """What of a `fedrec.privacy.accountant.QueryCost` decides how a local step is drawn."""

    @property
    def noise_multiplier(self) -> float:
        """Deviation over what one interaction moves a sum."""

    @property
    def probability(self) -> float:
        """Of each interaction to be in a step."""


def local_noise_of(config: Config, round_number: int, cost: NoiseCost | None, users: UserBatch) -> LocalNoise:
    """Return the noise of one device's local step in a round.

    ``cost``: what the step was charged as; None for a run without noise, in which every interaction takes part.
    """
    secret = fresh_key()
    if config.run.reproducible:
        whose = (str(user) for user in users.sampling_keys)
        secret = key(config.run.seed, "own noise", round_number, *whose)
    if cost is None:
        return LocalNoise(0.0, 1.0, secret)
    return LocalNoise(cost.noise_multiplier, cost.probability, secret)
