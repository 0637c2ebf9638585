"""Whether the cohorts that a run draws are large enough for its devices."""

from __future__ import annotations

from typing import Final

from scipy.special import bdtr

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.run_plan import minimum_separation_of, share_of
from fedrec.queries.secure_wire import PROTOCOL

# The chance, over a whole run, that may be left for a Poisson sample that no device would take part in.
ALLOWED: Final = 1e-6
_NAMES: Final = {"poisson": "Poisson sample", "balls-in-bins": "group of balls in bins"}


def too_small(devices: int, share: float, least: int, rounds: int) -> float:
    """The chance that one of ``rounds`` samples of varying size, or more, has fewer than ``least`` of ``devices``
    devices.

    At most: a union over the rounds, each a tail of the binomial distribution.
    """
    return min(1.0, rounds * float(bdtr(least - 1, devices, share)))


def check_sampled_cohorts(config: Config, devices: int) -> None:
    """Refuse to plan a run whose samples of varying size may come out below ``secure_aggregation.minimum_cohort``.

    Poisson samples, and groups of balls in bins.

    Such a sample is not asked, since nobody would answer, and it is not drawn again, since what was accounted is a
    sample without a condition: its round is a sum over nobody, with noise, and is charged like every other.  A run
    that must expect that pays for nothing.

    Raises:
        ConfigError: the chance is above 1e-6 over the run; names the smallest cohort for which it is not.
    """
    training, least = config.training, config.secure_aggregation.minimum_cohort
    sampled = config.model.tower and training.sampling in _NAMES and 0 < training.cohort < devices
    if not sampled or config.secure_aggregation.protocol != PROTOCOL:
        return
    groups = minimum_separation_of(config, devices)
    draws = min(training.rounds, groups) if groups > 1 else training.rounds  # a group is dealt once
    chance = too_small(devices, share_of(config, devices), least, draws)
    if chance <= ALLOWED:
        return
    enough = _enough(devices, training.cohort, least, draws)
    raise ConfigError(
        f"a {_NAMES[training.sampling]} of {training.cohort} of {devices} devices falls below the {least} that "
        f"devices insist on with a chance of {chance:.2g} in {training.rounds} rounds, and at most {ALLOWED:g} is "
        "planned for",
        value=training.cohort,
        action=f"Raise training.cohort to {enough}, set secure_aggregation.minimum_cohort (and minimum_survivors) "
        "lower, or set training.sampling to 'fixed'",
    )


def _enough(devices: int, low: int, least: int, rounds: int) -> int:
    """The smallest cohort above ``low`` for which the chance is allowed; all devices always are."""
    high = devices
    while high - low > 1:
        middle = (low + high) // 2
        if too_small(devices, middle / devices, least, rounds) <= ALLOWED:
            high = middle
        else:
            low = middle
    return high
