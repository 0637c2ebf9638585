"""The commands that need both sides in one process: ``simulate``, ``demo``, ``data shop`` and ``bench``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrec.cli.data import ABOUT
from fedrec.cli.data_option import FromInteractions, source_of
from fedrec.cli.groups import subgroup
from fedrec.cli.rows import flat_rows, tree_of
from fedrec.console import open_reporter, print_json, say, show_table
from fedrec.errors import BudgetExceededError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of words and tables.")]
Users = Annotated[int, typer.Option(min=20, max=999_999, help="How many users the shop has.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same shop and the same run.")]


class Workload(StrEnum):
    """W1: an MLP of 148-64-32-1, 64 labelled rows a user, one local step, clipped by user. modes: ways to clip rows."""

    w1 = "w1"
    modes = "modes"


class Rival(StrEnum):
    """Another secure aggregation, timed in the same run. flower: the one that comes with Flower."""

    flower = "flower"


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    bench = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)
    app.command("simulate")(simulate)
    app.command("demo")(demo)
    subgroup(app, "data", ABOUT).command("shop")(data_shop)
    bench.command("train")(bench_train)
    bench.command("secagg")(bench_secagg)
    app.add_typer(bench, name="bench")


def simulate(
    data: Annotated[
        Path, typer.Option(help="A data directory, RecBole/MMRec files, MovieLens, or a Parquet or CSV file.")
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Where run.json, events.jsonl, model/, report.html and the ledger go.")
    ],
    config: Annotated[Path, typer.Argument(show_default=True)] = Path("auto"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as section.key=value.")
    ] = None,
    from_interactions: FromInteractions = False,
    as_json: AsJson = False,
) -> None:
    """Run a whole federation in this process, and write its model and report.

    CONFIG is a TOML file of settings, or the name of a preset; auto sets itself on any data.

    Where the privacy budget ends before the last round, the run stops there, writes a release that is within the
    budget, and leaves with 7.
    """
    from fedrec.api.simulate import simulate as run_simulation

    source = source_of(data, from_interactions)
    run = run_simulation(str(config), source, out=out, overrides=settings or [], progress=not as_json).record
    if as_json:
        print_json(run)
    else:
        from fedrec.simulation.summary import show_run

        show_run(run, out)
    if run["stopped"] is not None:
        _leave_stopped(run, as_json=as_json)


def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the shop and the run go.")] = Path("out/demo"),
    users: Users = 600,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make a shop, train on it privately, and show what a device recommends to its owner."""
    from fedrec.simulation.demo import run_demo
    from fedrec.simulation.summary import show_recommendations, show_run

    with open_reporter(silent=as_json) as reporter:
        result = run_demo(out, users=users, seed=seed, reporter=reporter)
    if as_json:
        print_json(result)
        return
    show_run(result["run"], out)
    show_recommendations(result["user"], result["history"], result["recommendations"])
    if result["report"] is not None:
        say(f"Report: {result['report']}", style="bold")


def _leave_stopped(run: Mapping[str, Any], *, as_json: bool) -> None:
    """Leave with the exit code of a budget that ended; in JSON the document itself says why."""
    if as_json:
        raise typer.Exit(BudgetExceededError.exit_code)
    raise BudgetExceededError(
        "the privacy budget ended before the run did; its release is within the budget",
        value=f"epsilon {run['privacy']['epsilon_released']:.4g} of {run['config']['privacy']['epsilon']:g}",
        action="Use the release as it is, or begin again in another directory with fewer rounds or a larger epsilon",
    )


def data_shop(
    out: Annotated[Path, typer.Argument()],
    users: Users = 600,
    items: Annotated[int | None, typer.Option(min=140, max=99_999, help="How many items; by default it fits.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic multimodal shop in OUT: items with pictures, people with tastes, notes and photos."""
    from fedrec.api.simulate import make_shop

    summary = make_shop(out, users=users, items=items, seed=seed, progress=not as_json)
    if as_json:
        print_json(tree_of(summary))
    else:
        show_table(out.name, ("what", "how much"), flat_rows(tree_of(summary)))


def bench_train(
    workload: Annotated[Workload, typer.Option(help="Which reference workload.")] = Workload.w1,
    users: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many users a pass.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=0.1, max=600.0, help="How long to measure.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Measure how many users a second this machine trains with per-user clipping."""
    module = importlib.import_module(f"fedrec.simulation.bench.{workload.value}")
    found: dict[str, Any] = getattr(module, f"run_{workload.value}")(users=users, seconds=seconds)
    if as_json:
        print_json({"workload": workload.value, **found})
    else:
        show_table(f"workload {workload.value}", ("what", "how much"), flat_rows(found))


def bench_secagg(
    devices: Annotated[
        int | None, typer.Option(min=3, max=100_000, help="How many; by default 1000, or 100 against a rival.")
    ] = None,
    length: Annotated[int, typer.Option(min=1, max=10_000_000, help="Elements of a vector.")] = 100_000,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share that is gone after sharing secrets.")] = 0.1,
    neighbours: Annotated[
        int | None, typer.Option(min=2, help="Neighbours of a device; by default what is safe for so many devices.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(min=1, help="Shares that open a secret; above half the neighbours.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Threads of the server; by default all.")] = None,
    against: Annotated[
        Rival | None, typer.Option(help="Time a rival beside it; with 10 and 99 neighbours unless --neighbours is set.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a round of secure aggregation: a device's work, the server's, a mask's price and its limits."""
    if against is not None:
        from fedrec.simulation.bench.secagg_flower import compare

        found = compare(devices or 100, length, dropout, [neighbours] if neighbours else [10, 99], workers=workers)
    else:
        from fedrec.simulation.bench.secagg import run_secagg

        found = run_secagg(
            devices or 1000, length, dropout, neighbours=neighbours, threshold=threshold, workers=workers
        )
    if as_json:
        print_json(found)
    else:
        show_table("secure aggregation", ("what", "how much"), flat_rows(found))
