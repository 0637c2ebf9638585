"""From a population and a target to noise, both epsilons, and what the noise leaves of a model's training signal.

Signal and noise are compared in what a run adds up.  Every round's mean update points some way by ``clip coherence``;
the noise of its mean is ``z clip sqrt(parameters) / cohort`` long.  Over T rounds the signal of updates that agree
grows as T, independent noise as sqrt(T), banded noise less: that is what `Planned.equivalent` stands for, the
multiplier of independent noise that would leave the same error.  The ratio is a guide to what can be learned, not a
forecast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import (
    QueryCost,
    Sampling,
    check_delta,
    epsilon,
    epsilon_without_amplification,
    rounds_apart,
)
from fedrec.privacy.banded import best_bands, error_ratio
from fedrec.privacy.calibrate import delta_for, plan

GROUPS: Final = (1, 4, 8, 16, 32)
Noise = Literal["independent", "banded"]
Place = Literal["server", "distributed"]


@dataclass(frozen=True)
class Setting:
    """A training that is to be planned: one query, one row a device.

    Args:
        population: devices, at least 2.
        cohort: the (expected) number of devices a round; 0 = all.
        rounds: at least 1.
        epsilon: the target for the released model, above 0.
        sampling: who takes part when; `accountant.QueryCost` says what is accounted for each.
        noise: ``banded`` needs sampling cyclic and the server to add it.
        bands: of banded noise; 0 = the best number.
        groups: that take turns, with sampling cyclic-poisson, at least 1.
        place: who adds the noise.
        delta: None = population^-1.1.
        parameters, clip: the model's size and the bound of a row's update.
        coherence: length of the mean of clipped updates over ``clip``, above 0 and at most 1: an assumption.  The
            default tower's was 0.29 to 0.36 in its first rounds on MovieLens, with every update clipped.
        lost: share of devices whose part of distributed noise may be missing or known, in [0, 1).
        secret: whether cohorts of sampling fixed are drawn in secret, so that they are amplified; those of poisson and
            balls-in-bins always are.

    Raises:
        PrivacyError: a value is outside its range, or the noise does not go with the sampling or place.
    """

    population: int
    cohort: int
    rounds: int
    epsilon: float
    sampling: Sampling = "poisson"
    noise: Noise = "independent"
    bands: int = 0
    place: Place = "server"
    delta: float | None = None
    parameters: int = 5000
    clip: float = 1.0
    coherence: float = 0.3
    lost: float = 0.0
    secret: bool = False
    groups: int = 1

    def __post_init__(self) -> None:
        for name, least in (
            ("population", 2),
            ("cohort", 0),
            ("rounds", 1),
            ("bands", 0),
            ("parameters", 1),
            ("groups", 1),
        ):
            if getattr(self, name) < least:
                raise PrivacyError(f"a plan's {name} must be at least {least}", value=getattr(self, name))
        if not (0 < self.clip < math.inf and 0 < self.coherence <= 1 and 0 <= self.lost < 1):
            wanted = "a plan needs a clip above 0, a coherence above 0 and at most 1, and a lost share from 0 below 1"
            raise PrivacyError(wanted, value=(self.clip, self.coherence, self.lost))
        if self.noise == "banded" and self.sampling not in ("cyclic", "cyclic-poisson"):
            action = "Use sampling cyclic or cyclic-poisson"
            raise PrivacyError("banded noise needs cyclic cohorts", value=self.sampling, action=action)
        if self.noise == "banded" and self.place != "server":
            raise PrivacyError("banded noise is added by the server", value=self.place, action="Use noise independent")
        if self.secret and (self.sampling != "fixed" or self.place != "server"):
            action = "Use sampling fixed, and noise of the server"
            raise PrivacyError("secret cohorts are the server's, of a fixed size", value=self.sampling, action=action)
        if self.sampling in ("balls-in-bins", "cyclic-poisson") and self.place != "server":
            raise PrivacyError(f"sampling {self.sampling} is the server's, in secret", value=self.place)
        if self.groups > 1 and self.sampling != "cyclic-poisson":
            raise PrivacyError("groups are set for sampling cyclic-poisson only", value=self.groups)
        if self.bands and self.noise != "banded":
            raise PrivacyError("bands are of banded noise", value=self.bands, action="Use noise banded")

    @property
    def asked(self) -> int:
        """Devices a round."""
        return min(self.cohort, self.population) if self.cohort and self.sampling != "full" else self.population


@dataclass(frozen=True)
class Planned:
    """What a setting comes to. ``equivalent``: the multiplier of independent noise with the same error in what a run
    adds up. ``bands``: None of independent noise. ``per_round``, ``over_run``: length of the signal over the noise's.
    """

    setting: Setting
    delta: float
    cost: QueryCost
    bands: int | None
    equivalent: float

    @property
    def epsilon_released(self) -> float:
        """For whoever sees the model but not who took part."""
        return epsilon([self.cost], self.delta)

    @property
    def epsilon_server(self) -> float | None:
        """Towards the server, which knows who took part; None, unbounded, where the server adds the noise.

        Distributed noise is sized so that it stands without the ``lost`` share: so this is what they leave.
        """
        return None if self.setting.place == "server" else epsilon_without_amplification([self.cost], self.delta)

    @property
    def added(self) -> float:
        """The multiplier of all noise that is added: with distributed noise, more than what is counted on."""
        return self.equivalent / math.sqrt(1 - self.setting.lost)

    @property
    def per_round(self) -> float:
        """Signal over noise in one round, both as if spread evenly over the run."""
        setting = self.setting
        return setting.coherence * setting.asked / (self.added * math.sqrt(setting.parameters))

    @property
    def over_run(self) -> float:
        """Signal over noise in the sum of all rounds."""
        return self.per_round * math.sqrt(self.setting.rounds)


def make_plan(setting: Setting) -> Planned:
    """Find the noise.

    Raises:
        PrivacyError: no noise meets the target, or the bands do not fit between two participations of a device.
    """
    delta = delta_for(setting.population) if setting.delta is None else setting.delta
    check_delta(delta)
    sampling = "full" if setting.asked == setting.population else setting.sampling
    dealt = sampling in ("cyclic", "balls-in-bins")
    groups = rounds_apart(setting.population, setting.asked) if dealt else setting.groups
    share = setting.asked / setting.population
    probability = 1.0 if sampling == "full" else 1 / groups if dealt else min(1.0, share * groups)
    (cost,) = plan(
        setting.epsilon,
        delta,
        {"training": 1.0},
        {"training": setting.rounds},
        {"training": (sampling, probability)},
        {"training": groups},
        secret={"training": sampling == "balls-in-bins" or (sampling == "fixed" and setting.secret)},
    )
    if setting.noise == "independent":
        return Planned(setting, delta, cost, None, cost.noise_multiplier)
    most = min(setting.rounds, groups)
    if setting.bands > most:
        raise PrivacyError(f"at most {most} bands fit between two participations of a device", value=setting.bands)
    bands = setting.bands or best_bands(setting.rounds, groups)
    return Planned(setting, delta, cost, bands, cost.noise_multiplier * error_ratio(setting.rounds, bands))


def best_groups(setting: Setting, tried: Sequence[int] = GROUPS) -> Planned:
    """The plan with as many groups, of those that are tried, as leave the most signal over noise.

    More groups let more bands cancel, and fewer let sampling amplify more.  Setting's sampling is cyclic-poisson.
    """
    most = min(rounds_apart(setting.population, setting.asked), setting.rounds)
    fit = [groups for groups in tried if groups <= most] or [1]
    return max((make_plan(replace(setting, groups=groups)) for groups in fit), key=lambda found: found.over_run)


def noise_alternatives(planned: Planned) -> list[Planned]:
    """The same training with other noise and sampling, for the same released epsilon; best signal to noise first."""
    setting = planned.setting
    kinds: list[tuple[Sampling, bool, Noise]] = [
        ("full", False, "independent"),
        ("poisson", False, "independent"),
        ("fixed", True, "independent"),
        ("cyclic", False, "independent"),
        ("balls-in-bins", False, "independent"),
        ("cyclic", False, "banded"),
    ]
    trusted = setting.place == "server"
    others = [
        make_plan(replace(setting, sampling=sampling, secret=secret, noise=noise, bands=0, groups=1))
        for sampling, secret, noise in kinds
        if (sampling, secret, noise) != (setting.sampling, setting.secret, setting.noise)
        and not (noise == "banded" and setting.cohort == 0)
        and (trusted or (noise == "independent" and not secret and sampling != "balls-in-bins"))
        and not (sampling != "full" and setting.asked == setting.population)
    ]
    return sorted(others, key=lambda other: -other.over_run)


def most_parameters(planned: Planned, ratio: float) -> int:
    """The largest model for which the run's signal over noise is ``ratio``; 0 if there is none."""
    return math.floor(planned.setting.parameters * (planned.over_run / ratio) ** 2)


def least_population(planned: Planned, ratio: float) -> Planned | None:
    """The plan with more devices, as many times more a round, whose signal over noise is ``ratio``; None past 10^9.

    Found within 1 %: the noise hardly changes with the population (delta does), so the ratio grows with the cohort.
    """
    setting, found = planned.setting, planned
    while found.over_run < ratio:
        # Dealt into groups of the same number, or drawn with the same chance, so that participations stay as they are.
        factor = found.setting.population / setting.population * max(1.01, ratio / found.over_run)
        if setting.population * factor > 1e9:
            return None
        population = math.ceil(setting.population * factor)
        cohort = 0 if setting.cohort == 0 else math.ceil(setting.cohort * factor)
        found = make_plan(replace(setting, population=population, cohort=cohort))
    return found


def epsilon_needed(planned: Planned, ratio: float) -> float:
    """The released epsilon at which the same training has this signal over noise; at most that of noise 0.01."""
    noise = max(0.01, planned.cost.noise_multiplier * planned.over_run / ratio)
    return epsilon([replace(planned.cost, noise_multiplier=noise)], planned.delta)
