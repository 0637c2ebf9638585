"""Whether the cohorts that a run draws are large enough for its devices, and what it costs that one may not be.

A Poisson sample, or a group of balls in bins, that no device takes part in is seen: its round is a sum over nobody.
Where all others drawn are one too few, that says whether the last device was drawn, and hides nothing of it behind the
coin; so amplification does not hold then.  Whether the others are too few depends on their coins alone.  Given that
they are not, rounds cost what is accounted at delta; so together they are (epsilon, delta + c)-private, c the chance
that the others are too few in some round.  That is what is stated.
"""

from __future__ import annotations

from typing import Final

from scipy.special import bdtr

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.run_plan import minimum_separation_of, probability_of
from fedrec.queries.model_update import MODEL_UPDATE
from fedrec.queries.secure_wire import PROTOCOL

# The chance, over a whole run, that may be left for a Poisson sample that no device would take part in.
ALLOWED: Final = 1e-6
_NAMES: Final = {
    "poisson": "Poisson sample",
    "balls-in-bins": "group of balls in bins",
    "cyclic-poisson": "Poisson sample of a group",
}


def too_small(devices: int, share: float, least: int, rounds: int) -> float:
    """The chance that one of ``rounds`` samples of varying size, or more, has fewer than ``least`` of ``devices``
    devices.

    At most: a union over the rounds, each a tail of the binomial distribution.
    """
    return min(1.0, rounds * float(bdtr(least - 1, devices, share)))


def delta_of_samples(config: Config, users: int, devices: int) -> float:
    """What the chance of samples that nobody takes part in adds to a run's delta; 0 where no amplification is claimed.

    At most: a union over the rounds.  Samples that are larger than there is room for have a chance of 2^-64 a round and
    are left out here (`Sampler.most`).
    """
    drawn = MODEL_UPDATE.participation(config, users, devices)
    amplified = drawn.sampling in ("poisson", "cyclic-poisson") or drawn.secret
    if config.privacy.epsilon is None or not amplified or not _may_be_small(config, devices):
        return 0.0
    least = config.secure_aggregation.minimum_cohort
    members, share = _drawn_of(config, devices)
    return too_small(members - 1, share, least, _draws(config, devices))


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
    if not _may_be_small(config, devices):
        return
    members, share = _drawn_of(config, devices)
    draws = _draws(config, devices)
    chance = too_small(members, share, least, draws)
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


def _may_be_small(config: Config, devices: int) -> bool:
    """Whether samples are of varying size, and devices insist on a number."""
    training = config.training
    sampled = config.model.tower and training.sampling in _NAMES and 0 < training.cohort < devices
    return sampled and config.secure_aggregation.protocol == PROTOCOL


def _draws(config: Config, devices: int) -> int:
    """How many samples are drawn: one a round, or, of balls in bins, a group once."""
    rounds = config.training.rounds
    dealt = config.training.sampling == "balls-in-bins"
    return min(rounds, minimum_separation_of(config, devices)) if dealt else rounds


def _drawn_of(config: Config, devices: int) -> tuple[int, float]:
    """Of how many devices a sample is drawn, at least, and each of them with which chance."""
    groups = config.training.groups if config.training.sampling == "cyclic-poisson" else 1
    return devices // groups, probability_of(config, devices)


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
