"""``fedrec privacy plan``: what noise a target costs, what it leaves of the signal, and what would help."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class SamplingOption(StrEnum):
    """Who takes part when."""

    full = "full"
    poisson = "poisson"
    fixed = "fixed"
    cyclic = "cyclic"


class NoiseOption(StrEnum):
    """Independent each round, or correlated so that it cancels."""

    independent = "independent"
    banded = "banded"


class PlaceOption(StrEnum):
    """Who adds the noise."""

    server = "server"
    distributed = "distributed"


def command(
    population: Annotated[int, typer.Option(min=2, help="Devices, each of one user.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")],
    epsilon: Annotated[float, typer.Option(min=0.001, max=100.0, help="The target, for the released model.")],
    cohort: Annotated[int, typer.Option(min=0, help="Devices a round, as expected; 0 = all.")] = 0,
    sampling: Annotated[
        SamplingOption | None, typer.Option(help="By default poisson, or cyclic with banded noise.")
    ] = None,
    noise: Annotated[NoiseOption, typer.Option(help="Banded needs sampling cyclic.")] = NoiseOption.independent,
    bands: Annotated[int, typer.Option(min=0, help="Of banded noise; 0 = the best number.")] = 0,
    noise_place: Annotated[PlaceOption, typer.Option(help="Who adds the noise.")] = PlaceOption.server,
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of words and tables.")
    ] = False,
) -> None:
    """Find the noise for a target epsilon, check it by three accountants, and say what would leave more signal."""
    from fedrec.console import print_json
    from fedrec.privacy.planner import Setting, make_plan
    from simulations.privacy.plan_report import report, show

    chosen = sampling or (SamplingOption.cyclic if noise is NoiseOption.banded else SamplingOption.poisson)
    setting = Setting(
        population=population,
        cohort=cohort,
        rounds=rounds,
        epsilon=epsilon,
        sampling=chosen.value,
        noise=noise.value,
        bands=bands,
        place=noise_place.value,
        delta=delta,
        parameters=parameters,
        clip=clip,
        coherence=coherence,
        lost=min(dropout + colluding, 0.99) if noise_place is PlaceOption.distributed else 0.0,
    )
    found = report(make_plan(setting), ratio, group)
    if as_json:
        print_json(found)
    else:
        show(found)
