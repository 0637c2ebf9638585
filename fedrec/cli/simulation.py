"""The commands that need both sides in one process: ``simulate``, ``train``, ``demo`` and ``data shop``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrec.cli.data import ABOUT
from fedrec.cli.data_option import FromInteractions, source_of
from fedrec.cli.groups import subgroup
from fedrec.cli.pages import Browser, run_pages
from fedrec.cli.rows import AsJson, flat_rows, tree_of
from fedrec.console import open_reporter, print_json, say, show_table
from fedrec.errors import BudgetExceededError

if TYPE_CHECKING:
    from fedrec.api.run import Run


class FormOption(StrEnum):
    """In which files a shop is written."""

    csv = "csv"
    parquet = "parquet"


class TrackingTool(StrEnum):
    """What a run can be written for, beside its own files."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"


Users = Annotated[int, typer.Option(min=20, max=9_999_999, help="How many users the shop has.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same shop and the same run.")]
Data = Annotated[Path, typer.Option(help="A data directory, RecBole/MMRec files, MovieLens, or a Parquet or CSV file.")]
Out = Annotated[
    Path, typer.Option(file_okay=False, help="Where run.json, events.jsonl, model/, report.html and the ledger go.")
]
ConfigFile = Annotated[Path, typer.Argument(show_default=True)]
LogTo = Annotated[
    list[TrackingTool] | None,
    typer.Option(
        help="Write the run for a tool too, into OUT (extra tracking); MLFLOW_TRACKING_URI names another store."
    ),
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as section.key=value.")
]


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    app.command("simulate")(simulate)
    app.command("train")(train)
    app.command("demo")(demo)
    subgroup(app, "data", ABOUT).command("shop")(data_shop)


def simulate(
    data: Data,
    out: Out,
    config: ConfigFile = Path("auto"),
    settings: Changes = None,
    from_interactions: FromInteractions = False,
    log_to: LogTo = None,
    as_json: AsJson = False,
) -> None:
    """Run a whole federation in this process, and write its model and report.

    CONFIG is a TOML file of settings, or the name of a preset; auto sets itself on any data.

    Where the privacy budget ends before the last round, the run stops there, writes a release that is within the
    budget, and leaves with 7.
    """
    from fedrec.api.simulate import simulate as run_simulation

    source = source_of(data, from_interactions)
    tools = [one.value for one in log_to or []]
    with open_reporter(silent=as_json) as reporter:
        if not tools:
            run = run_simulation(str(config), source, out=out, overrides=settings or [], progress=reporter)
        else:
            from fedrec.simulation.tracking.live import tracking

            with tracking(reporter, tools, out) as live:
                run = run_simulation(str(config), source, out=out, overrides=settings or [], progress=live)
                written = live.finish(run.record)
            for tool, place in ({} if as_json else written).items():
                say(f"{tool}: {place}")
    _tell_run(run, as_json=as_json)


def train(
    data: Data,
    out: Out,
    config: ConfigFile = Path("auto"),
    settings: Changes = None,
    from_interactions: FromInteractions = False,
    as_json: AsJson = False,
) -> None:
    """Train on central data for a release that must be private: as simulate, with noise that no seed can repeat.

    CONFIG is as for simulate. It needs a budget, such as --set privacy.epsilon=8. What may be given away is OUT/model,
    and nothing else of OUT: the quality in run.json and report.html is exact.

    Leaves with 7 where the budget ends before the last round; the release is within the budget.
    """
    from fedrec.api.simulate import train as run_training

    source = source_of(data, from_interactions)
    _tell_run(
        run_training(str(config), source, out=out, overrides=settings or [], progress=not as_json), as_json=as_json
    )


def _tell_run(run: Run, *, as_json: bool) -> None:
    if as_json:
        print_json(run.record)
    else:
        from fedrec.simulation.summary import show_run

        show_run(run.record, run.directory)
    if run.stopped is not None:
        _leave_stopped(run.record, as_json=as_json)


def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the shop and the run go.")] = Path("out/demo"),
    users: Users = 600,
    seed: Seed = 0,
    ui: Annotated[bool, typer.Option("--ui", help="Then show the run and the device in a browser.")] = False,
    browser: Browser = True,
    as_json: AsJson = False,
) -> None:
    """Make a shop, train on it privately, and show what a device recommends to its owner."""
    from fedrec.simulation.demo import run_demo
    from fedrec.simulation.summary import show_recommendations, show_run

    with open_reporter(silent=as_json) as reporter:
        result = run_demo(out, users=users, seed=seed, reporter=reporter)
    if as_json:
        print_json(result)
    else:
        show_run(result["run"], out)
        show_recommendations(result["user"], result["history"], result["recommendations"])
        if result["report"] is not None:
            say(f"Report: {result['report']}", style="bold")
    if ui:
        _show_demo(out, browser=browser, as_json=as_json)


def _show_demo(out: Path, *, browser: bool, as_json: bool) -> None:
    from fedrec.pages.process import device_listener, operator_listener
    from fedrec.simulation.demo import DEVICE, SHOP

    device = device_listener(out / DEVICE, out / "model", out / SHOP, 0)
    run_pages([operator_listener(out, 0), device], browser=browser, as_json=as_json)


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
    items: Annotated[
        int | None, typer.Option(min=140, max=9_999_999, help="How many items; by default it fits.")
    ] = None,
    seed: Seed = 0,
    form: Annotated[
        FormOption, typer.Option("--format", help="csv; or parquet, one file of users, for large shops (extra data).")
    ] = FormOption.csv,
    pictures: Annotated[
        bool | None,
        typer.Option(
            "--pictures/--no-pictures",
            help="Whether there are pictures, sounds, and people's notes and photos; below 100,000 items there are.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic multimodal shop in OUT: items with pictures, people with tastes, notes and photos.

    From 100,000 items or a million users on, people choose among the few hundred items that they come across.
    """
    from fedrec.api.simulate import make_shop

    summary = make_shop(
        out, users=users, items=items, seed=seed, form=form.value, pictures=pictures, progress=not as_json
    )
    if as_json:
        print_json(tree_of(summary))
    else:
        show_table(out.name, ("what", "how much"), flat_rows(tree_of(summary)))
