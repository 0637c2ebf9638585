"""Plan, state and verify what a run promises: the functions behind ``fedrec privacy plan|statement|verify``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fedrec.api import config_plan, target_plan
from fedrec.api.configs import ConfigSource, Overrides, config_of
from fedrec.api.load_run import load_run, read_record
from fedrec.privacy.page import facts_of, page_of
from fedrec.privacy.planner import Noise, Place, Setting, make_plan
from fedrec.privacy.simulated import about
from fedrec.release.bundle import read_release

if TYPE_CHECKING:
    from fedrec.privacy.accountant import Sampling
    from fedrec.privacy.verify import ClaimCheck


class HasDirectory(Protocol):
    """A `fedrec.Run` or `fedrec.OpenedRelease`. Runs are of the simulation, which operators and devices do without."""

    @property
    def directory(self) -> Path:
        """Where it lies."""


@dataclass(frozen=True)
class Statement:
    """What a run promises, to whom, how, what must be trusted, and what is not covered.

    ``facts``: JSON-able.  ``page``: the same for people, Markdown.  ``verified``: whether all that was said was
    recomputed from the ledger and holds; None where no ledger was at hand.
    """

    facts: Mapping[str, Any]
    page: str

    @property
    def verified(self) -> bool | None:
        """Whether it holds; None = not checked."""
        found: bool | None = self.facts["verified"]
        return found

    def __str__(self) -> str:
        return self.page

    def _repr_markdown_(self) -> str:
        return self.page


def plan(
    config: ConfigSource,
    users: int,
    *,
    devices: int | None = None,
    interactions: Sequence[int] = (),
    group: int = 1,
    checks: bool = True,
    items: int | None = None,
    overrides: Overrides = (),
) -> dict[str, Any]:
    """Compute what a run is charged, to the last digit, before anybody is asked.

    Args:
        config: a `Config`, the name of a preset, or the path of a TOML file.
        users: how many, at least 2.
        devices: that the users are on; None: each on one of its own.
        interactions: where devices add all noise (``privacy.noise_place`` local): of how many interactions to say what
            a device charges its own ledger.
        group: also say what it means for so many rows together, such as a household.
        checks: whether to compute the same by other accountants too, which takes seconds.
        items: of the catalogue; needed where what is asked follows from it, as with preset ``auto``.
        overrides: settings to change.

    Returns:
        ``privacy``: word for word what ``run.json`` will say of a run that goes to its end, with each query and its
        noise; ``accountants``, ``group``, ``own``, ``bands``, ``population``, ``devices``, ``target_epsilon``.

    Raises:
        ConfigError: the settings do not fit each other, or so many devices.
        PrivacyError: the budget cannot be met.
    """
    settings = config_of(config, overrides)
    return config_plan.report(
        settings, users, devices=devices, interactions=interactions, group=group, checks=checks, items=items
    )


def plan_target(
    users: int,
    *,
    rounds: int,
    epsilon: float,
    cohort: int = 0,
    sampling: Sampling | None = None,
    noise: Noise = "independent",
    bands: int = 0,
    noise_place: Place = "server",
    lost: float = 0.0,
    secret_cohorts: bool = False,
    groups: int = 1,
    delta: float | None = None,
    parameters: int = 5000,
    clip: float = 1.0,
    coherence: float = 0.3,
    signal_to_noise: float = 1.0,
    group: int = 1,
) -> dict[str, Any]:
    """Find the noise for a target epsilon of one training, and what would leave more signal. No config is needed.

    Args:
        users: each on a device of its own, at least 2.
        rounds: of training, at least 1.
        epsilon: the target, for the released model.
        cohort: devices a round, as expected; 0 = all.
        sampling: who takes part when; None: poisson, or cyclic with banded noise.
        noise: banded needs sampling cyclic or cyclic-poisson.
        bands: of banded noise; 0 = the best number.
        noise_place: who adds the noise.
        lost: share of devices whose part of distributed noise may be missing or known, from 0 below 1.
        secret_cohorts: cohorts of sampling fixed are drawn from a key that only the server has, and amplified.
        groups: of sampling cyclic-poisson, which take turns.
        delta: None: users^-1.1.
        parameters: shared parameters of the model.
        clip: L2 bound of one user's update.
        coherence: length of the mean clipped update over the clip, above 0 and at most 1: an assumption.
        signal_to_noise: of a whole run, that the advice aims at.
        group: also say what it means for so many rows together.

    Returns:
        The noise multiplier, both epsilons, the same by three accountants, signal to noise, and ``advice``.

    Raises:
        PrivacyError: a value is out of range, or the noise does not go with the sampling or place.
    """
    setting = Setting(
        population=users,
        cohort=cohort,
        rounds=rounds,
        epsilon=epsilon,
        sampling=sampling or ("cyclic" if noise == "banded" else "poisson"),
        noise=noise,
        bands=bands,
        place=noise_place,
        delta=delta,
        parameters=parameters,
        clip=clip,
        coherence=coherence,
        lost=lost,
        secret=secret_cohorts,
        groups=groups,
    )
    return target_plan.report(make_plan(setting), signal_to_noise, group)


def statement(run: HasDirectory | str | os.PathLike[str]) -> Statement:
    """State what a run promises, to whom, how, what must be trusted, and what is not covered.

    Args:
        run: a `fedrec.Run`, the directory of one, or a release (opened, or its directory). Of a run, everything is
            recomputed from its ledger; of a release alone, it is what its publisher signed, and cannot be checked.

    Raises:
        DataError: no run ended there. ReleaseError: the release is damaged.
    """
    directory = _directory(run)
    if (directory / "manifest.json").is_file():
        release = read_release(directory)
        facts = facts_of(release.contents.privacy, population=None, name=release.name, verified=None)
        return Statement(facts, page_of(facts))
    record, _ = read_record(directory)
    problems = [f"{check.name}: {problem}" for check in load_run(directory) for problem in check.problems]
    reproducible = bool(record["config"]["run"].get("reproducible"))
    facts = facts_of(
        {**about(reproducible, record["privacy"].get("noise_place")), **record["privacy"]},
        population=int(record["data"]["users"]),
        interactions=record["data"].get("interactions"),
        name=record["config"]["run"]["name"],
        verified=problems,
    )
    return Statement(facts, page_of(facts))


def verify(run: HasDirectory | str | os.PathLike[str]) -> list[ClaimCheck]:
    """Recompute a run's privacy from its ledger alone, and hold everything that was said against it.

    Args:
        run: a `fedrec.Run`, or the directory of one.

    Returns:
        The checks by name, each with ``passed`` and its ``problems``. Nothing is raised where one fails.

    Raises:
        DataError: there is no record of a run, or it cannot be read.
    """
    return load_run(_directory(run))


def _directory(run: HasDirectory | str | os.PathLike[str]) -> Path:
    return Path(run).expanduser() if isinstance(run, str | os.PathLike) else run.directory
