"""``fedrec privacy sweep``: quality against epsilon, with repeated seeds and error bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.data_option import FromInteractions, source_of


def command(
    config: Annotated[Path, typer.Argument(help="A TOML file of settings.")],
    data: Annotated[Path, typer.Option(help="A data directory, or RecBole/MMRec files.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Where runs/, sweep.json, .md, .svg and .html go.")],
    epsilon: Annotated[
        str, typer.Option(help="Target epsilons, with commas between; inf = a run without noise.")
    ] = "0.5,1,2,4,8,inf",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Runs of each, every one with its own seed.")] = 3,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE[ KEY=VALUE]", help="A curve with these settings changed; repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of all runs.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Runs side by side; 0 = one a free core.")] = 0,
    from_interactions: FromInteractions = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, not words and tables.")] = False,
) -> None:
    """Run a config at several epsilons and seeds, and draw the curve. Runs that are finished are not run again."""
    from fedrec.console import open_reporter, print_json
    from fedrec.simulation.privacy.sweep_report import show, write
    from fedrec.simulation.privacy.sweep_runs import SweepCurve, epsilons_of, run_sweep

    variants = [SweepCurve(text, tuple(text.split())) for text in variant or [""]]
    with open_reporter(silent=as_json) as reporter:
        found = run_sweep(
            config,
            source_of(data, from_interactions),
            out,
            epsilons=epsilons_of(epsilon),
            seeds=seeds,
            variants=variants,
            overrides=settings or [],
            workers=workers,
            reporter=reporter,
        )
    write(found, out)
    if as_json:
        print_json(found)
    else:
        show(found, out)
