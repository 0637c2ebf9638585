"""``fedrec data``: look at data sets, and make of them what a server and its devices are given."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrec.cli.data_import import data_import
from fedrec.cli.data_option import FromInteractions, source_of
from fedrec.cli.groups import subgroup
from fedrec.cli.rows import AsJson, flat_rows
from fedrec.console import open_reporter, print_json, say, show_table, size

if TYPE_CHECKING:
    from fedrec.data.sources import Source


class UnitOption(StrEnum):
    """What one row is, as in ``privacy.unit``."""

    user = "user"
    example = "example"


ABOUT = "Look at data sets, and make them."


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    data = subgroup(app, "data", ABOUT)
    data.command("import")(data_import)
    data.command("inspect")(inspect)
    data.command("stores")(stores)
    data.command("catalogue")(catalogue)


def inspect(
    directory: Annotated[Path, typer.Argument()],
    as_json: AsJson = False,
) -> None:
    """Count what a data set holds, and say what was skipped and why.

    DIRECTORY is a data directory, holds RecBole/MMRec files or MovieLens, or is a Parquet or CSV file.
    """
    from fedrec.data.inspect import inspect as inspected
    from fedrec.data.sources import read_data

    found = inspected(read_data(source_of(directory, True)))  # nothing is made of it that would leave
    if as_json:
        print_json(found)
    else:
        show_table(directory.name, ("what", "how much"), [(name, value) for name, value in flat_rows(found)])


def stores(
    directory: Annotated[Path, typer.Argument()],
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the stores go.")],
    unit: Annotated[
        UnitOption,
        typer.Option(help="What is protected: with example, an interaction decides alone whether it trains."),
    ] = UnitOption.user,
    positive_ratings: Annotated[
        float | None,
        typer.Option(help="data.positive_ratings of the run: what is rated lower is not held out; without it, all."),
    ] = None,
    slices: Annotated[
        int, typer.Option(min=0, help="So many stores of many users each, for Flower's runtime; 0 = one a user.")
    ] = 0,
    from_interactions: FromInteractions = False,
    as_json: AsJson = False,
) -> None:
    """Write one event store for each user of DIRECTORY (a data set), as if each had a device of their own."""
    from fedrec.data.sources import read_data
    from fedrec.data.splits import split
    from fedrec.data.stores import write_stores

    with open_reporter(silent=as_json) as reporter:
        reporter.stage(f"Writing the stores of {directory.name}")
        dataset = read_data(source_of(directory, from_interactions))
        held = split(dataset, unit=unit.value, positive_ratings="all" if positive_ratings is None else positive_ratings)
        written = write_stores(dataset, held, out, slices=slices, progress=reporter.progress)
    taken = sum(store.stat().st_size for store in written)
    if as_json:
        print_json({"stores": len(written), "bytes": taken, "directory": out})
    else:
        say(f"{len(written):,} event stores, {size(taken)}, in {out}")


def catalogue(
    directory: Annotated[Path, typer.Argument()],
    config: Annotated[Path, typer.Option(help="A TOML file of the run's settings, or their name.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the features and their encoders go.")],
    from_interactions: FromInteractions = False,
    as_json: AsJson = False,
) -> None:
    """Encode the items of DIRECTORY (a data set) as the catalogue that a server and its devices share.

    Reads what is public only: encoders learn from the items, never from what users did.
    """
    facts = write_catalogue(source_of(directory, from_interactions), config, out, silent=as_json)
    if as_json:
        print_json(facts)
    else:
        say(f"{facts['items']:,} items, digest {facts['digest']}, in {out}")


def write_catalogue(data: Source, config: Path, out: Path, *, silent: bool) -> dict[str, Any]:
    """Encode a data set's items as the settings in a file say, and save them in ``out``; returns what is said of it."""
    from fedrec.api.configs import config_of
    from fedrec.config.presets import with_preset
    from fedrec.content.encode_catalogue import encode_catalogue, read_and_say
    from fedrec.content.features import save_features
    from fedrec.content.fit import fit_to_content
    from fedrec.content.left_out import say_fitted

    settings = with_preset(config_of(str(config)))
    with open_reporter(silent=silent) as reporter:
        features, encoders = encode_catalogue(settings, read_and_say(data, reporter), reporter)
        _, left_out = fit_to_content(settings, features)
        say_fitted(left_out, reporter)
    save_features(features, encoders, out)
    return {"directory": out, "items": len(features), "digest": features.digest(), "left_out_of_settings": left_out}
