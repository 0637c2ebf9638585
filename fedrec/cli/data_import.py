"""``fedrec data import``: bring one's own data into a data directory, and see what each column was taken for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrec.cli.data_option import FromInteractions
from fedrec.cli.rows import AsJson
from fedrec.console import print_json, say, show_table

if TYPE_CHECKING:
    from fedrec.data.import_files import Imported

_Column = Annotated[str | None, typer.Option(metavar="COLUMN", help="Its column, where the name is not a usual one.")]
_Files = Annotated[str | None, typer.Option(metavar="COLUMN", help="Its column of paths, from the table's folder.")]


def data_import(
    files: Annotated[list[Path], typer.Argument(exists=True)],
    out: Annotated[Path, typer.Option(file_okay=False, help="The data directory to write; it must not be there.")],
    user: _Column = None,
    item: _Column = None,
    time: _Column = None,
    rating: _Column = None,
    item_id: Annotated[str | None, typer.Option(metavar="COLUMN", help="The items' own column of ids.")] = None,
    title: _Column = None,
    text: _Column = None,
    image: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Paths of pictures, from the file's place.")
    ] = None,
    sound: Annotated[str | None, typer.Option(metavar="COLUMN", help="Paths of sounds, from the file's place.")] = None,
    from_interactions: FromInteractions = False,
    as_json: AsJson = False,
) -> None:
    """Bring FILES into a data directory, and say what each column was taken for.

    FILES is one file of interactions, or that and one of items: CSV, TSV (also with semicolons), JSON lines, Parquet;
    or MovieLens, RecBole's and MMRec's files, or a directory of them. Columns are found by usual names. Times are ISO
    dates, seconds, milliseconds, microseconds or nanoseconds. An item's other columns become attributes or numbers by
    what they hold.
    """
    from fedrec.data.import_files import import_files

    columns = {"user": user, "item": item, "timestamp": time, "rating": rating}
    of_items = {"item": item_id, "title": title, "text": text, "image": image, "sound": sound}
    found = import_files(
        files,
        out,
        columns={part: column for part, column in columns.items() if column is not None},
        item_columns={part: column for part, column in of_items.items() if column is not None},
        catalogue_from_interactions=from_interactions,
    )
    facts = _facts(found, out)
    if as_json:
        print_json(facts)
        return
    rows = [(one["file"], one["column"], one["taken_as"] or "-", one["note"]) for one in facts["columns"]]
    show_table("What was taken for what", ("file", "column", "taken as", ""), rows)
    say(f"{facts['users']:,} users, {facts['items']:,} items, {facts['interactions']:,} interactions, in {out}")
    for sentence in facts["notes"]:
        say(f"{sentence}.")


def _facts(found: Imported, out: Path) -> dict[str, Any]:
    data = found.dataset
    return {
        "directory": str(out),
        "users": len(data.users),
        "items": len(data.items),
        "interactions": len(data.interactions),
        "columns": [
            {"file": one.file, "column": one.column, "taken_as": one.taken_as, "note": one.note}
            for one in data.columns_taken
        ],
        "notes": [*found.changed, *_of_ratings(data.interactions.rating), *_of_skipped(data.skipped)],
    }


def _of_ratings(ratings: Any) -> list[str]:
    import numpy as np

    known = ratings[np.isfinite(ratings)]
    if not len(known):
        return []
    return [
        f"{len(known):,} ratings from {known.min():g} to {known.max():g}: every rated event counts as chosen unless "
        "data.positive_ratings says from which rating on, and ratings are predicted with collaborative.ratings.predict"
    ]


def _of_skipped(skipped: Sequence[Any]) -> list[str]:
    if not skipped:
        return []
    first = "; ".join(f"{one.file} line {one.line}: {one.reason}" for one in skipped[:3])
    return [f"{len(skipped):,} rows or files were left out ({first}{'; ...' if len(skipped) > 3 else ''})"]
