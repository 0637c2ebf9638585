"""``fedrec privacy plan``: what noise a target costs, what it leaves of the signal, and what would help.

Of a config: what a run of it is charged for each query that it asks.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from fedrec.errors import ConfigError

EPSILONS: Final = (8.0, 3.0, 1.0)  # of the table of samplings
# What else may be said beside a config; the rest it says itself.
_OF_CONFIGS: Final = {"config", "population", "items", "devices", "interactions", "settings", "group", "as_json"}


class SamplingOption(StrEnum):
    """Who takes part when."""

    full = "full"
    poisson = "poisson"
    fixed = "fixed"
    cyclic = "cyclic"
    balls_in_bins = "balls-in-bins"
    cyclic_poisson = "cyclic-poisson"


class NoiseOption(StrEnum):
    """Independent each round, or correlated so that it cancels."""

    independent = "independent"
    banded = "banded"


class PlaceOption(StrEnum):
    """Who adds the noise."""

    server = "server"
    distributed = "distributed"
    local = "local"


def command(
    context: typer.Context,
    population: Annotated[int, typer.Option(min=2, help="Users; each on a device of its own, unless --devices.")],
    config: Annotated[
        Path | None, typer.Argument(help="Plan a run of this config: every query that it asks.", dir_okay=False)
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of training; without a config.")] = None,
    epsilon: Annotated[
        float | None, typer.Option(min=0.001, max=100.0, help="The target, for the released model; without a config.")
    ] = None,
    cohort: Annotated[int, typer.Option(min=0, help="Devices a round, as expected; 0 = all.")] = 0,
    sampling: Annotated[
        SamplingOption | None, typer.Option(help="By default poisson, or cyclic with banded noise.")
    ] = None,
    secret_cohorts: Annotated[
        bool, typer.Option("--secret-cohorts", help="Of sampling fixed: only the server knows who is asked.")
    ] = False,
    noise: Annotated[
        NoiseOption, typer.Option(help="Banded needs sampling cyclic or cyclic-poisson.")
    ] = NoiseOption.independent,
    bands: Annotated[int, typer.Option(min=0, help="Of banded noise; 0 = the best number.")] = 0,
    groups: Annotated[int, typer.Option(min=1, help="Of sampling cyclic-poisson, which take turns.")] = 1,
    noise_place: Annotated[
        PlaceOption, typer.Option(help="Who adds the noise; local only with a config.")
    ] = PlaceOption.server,
    dropout: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of a cohort that may drop out of distributed noise.")
    ] = 0.1,
    colluding: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of a cohort that may tell its part of distributed noise.")
    ] = 0.0,
    delta: Annotated[float | None, typer.Option(help="By default population^-1.1.")] = None,
    parameters: Annotated[int, typer.Option(min=1, help="Shared parameters of the model.")] = 5000,
    clip: Annotated[float, typer.Option(min=1e-9, help="L2 bound of one user's update.")] = 1.0,
    coherence: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Length of the mean clipped update over the clip: an assumption.")
    ] = 0.3,
    ratio: Annotated[
        float, typer.Option(min=1e-6, help="The signal to noise of a whole run that advice aims at.")
    ] = 1.0,
    group: Annotated[
        int,
        typer.Option(min=1, help="Also say what it means for so many rows together, such as a household."),
    ] = 1,
    items: Annotated[
        int | None, typer.Option(min=2, help="With a config whose sums follow from it (preset auto): of the catalogue.")
    ] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="With a config: devices that the users are on.")] = None,
    interactions: Annotated[
        list[int] | None, typer.Option(min=0, help="With a config and noise_place local: of a device; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the config.")
    ] = None,
    by_sampling: Annotated[
        bool,
        typer.Option("--by-sampling", help="Only a table: the noise of every sampling, at epsilon 8, 3 and 1."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of words and tables.")
    ] = False,
) -> None:
    """Find the noise for a target epsilon, check it by three accountants, and say what would leave more signal.

    Of a config: the noise of every query that a run of it asks, and both its epsilons, as the run will be charged.
    """
    from fedrec.api.privacy import plan_target
    from fedrec.cli.plan_tables import show_target_plan
    from fedrec.console import print_json

    if config is not None:
        _check_alone(context)
        _of_config(config, settings or [], population, items, devices, interactions or [], group, as_json)
        return
    if by_sampling:
        _by_sampling(population, cohort, rounds, epsilon, delta, as_json)
        return
    if rounds is None or epsilon is None:
        raise ConfigError("a plan needs --rounds and --epsilon, or a config", value=(rounds, epsilon))
    if devices is not None or interactions or settings:
        raise ConfigError("--devices, --interactions and --set are about a config", action="Give its TOML file")
    if noise_place is PlaceOption.local:
        action = "Give a config with privacy.noise_place = local"
        raise ConfigError("noise of each device for itself depends on its steps and interactions", action=action)
    found = plan_target(
        population,
        rounds=rounds,
        epsilon=epsilon,
        cohort=cohort,
        sampling=None if sampling is None else sampling.value,
        noise=noise.value,
        bands=bands,
        noise_place="distributed" if noise_place is PlaceOption.distributed else "server",
        lost=min(dropout + colluding, 0.99) if noise_place is PlaceOption.distributed else 0.0,
        secret_cohorts=secret_cohorts,
        groups=groups,
        delta=delta,
        parameters=parameters,
        clip=clip,
        coherence=coherence,
        signal_to_noise=ratio,
        group=group,
    )
    if as_json:
        print_json(found)
    else:
        show_target_plan(found)


def _by_sampling(
    population: int, cohort: int, rounds: int | None, epsilon: float | None, delta: float | None, as_json: bool
) -> None:
    from fedrec.api.target_plan import by_sampling
    from fedrec.cli.plan_tables import show_by_sampling
    from fedrec.console import print_json

    if rounds is None or not 0 < cohort < population:
        raise ConfigError("a table of samplings needs --rounds, and a --cohort below --population", value=cohort)
    found = by_sampling(population, cohort, rounds, EPSILONS if epsilon is None else (epsilon,), delta)
    if as_json:
        print_json(found)
    else:
        show_by_sampling(found)


def _of_config(
    path: Path,
    settings: list[str],
    population: int,
    items: int | None,
    devices: int | None,
    interactions: list[int],
    group: int,
    as_json: bool,
) -> None:
    from fedrec.api.privacy import plan
    from fedrec.cli.plan_tables import show_config_plan
    from fedrec.console import print_json

    found = plan(
        path, population, devices=devices, interactions=interactions, group=group, items=items, overrides=settings
    )
    if as_json:
        print_json(found)
    else:
        show_config_plan(found)


def _check_alone(context: typer.Context) -> None:
    """Raise ConfigError where an option says something that the config says."""
    given = [
        name
        for name in context.params
        if name not in _OF_CONFIGS
        and (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ConfigError("a config says this itself", value=options, action="Use --set KEY=VALUE to change it")
