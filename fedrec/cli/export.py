"""``fedrec export``: a release for places without fedrec."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedrec.console import print_json, say, size


class ExportFormat(StrEnum):
    """What a release can be exported to."""

    onnx = "onnx"
    json = "json"
    executorch = "executorch"


class TablePrecision(StrEnum):
    """How the tables of a JSON export are written."""

    float32 = "float32"
    int8 = "int8"


def register(app: typer.Typer) -> None:
    """Add this shell's command to ``fedrec``."""
    app.command("export")(export)


def export(
    release: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    to: Annotated[ExportFormat, typer.Option("--to", help="json: with a page that ranks in a browser.")],
    out: Annotated[Path | None, typer.Option(help="Where it goes; by default export-FORMAT in this directory.")] = None,
    events: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many events an onnx or executorch graph reads, the newest.")
    ] = 256,
    precision: Annotated[
        TablePrecision, typer.Option(help="Of the tables of json; int8 is a quarter the size, and approximate.")
    ] = TablePrecision.float32,
    key: Annotated[
        Path | None, typer.Option(help="A file with the publisher's public key: refuse what it did not sign.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export RELEASE (a directory of a release, or of a run) to rank by a history without fedrec.

    The export is tried against the device's own ranking first, and not written where it differs. Size and time are
    printed.
    """
    from fedrec.export.write import write_export
    from fedrec.release.keys import read_public_key

    place = Path(f"export-{to.value}") if out is None else out
    signer = None if key is None else read_public_key(key)
    found = write_export(release, place, to.value, trusted_key=signer, length=events, precision=precision.value)
    if as_json:
        parity = None if found.parity is None else found.parity.facts()
        facts = {"directory": found.directory, "format": found.format, "items": found.items, "bytes": found.bytes}
        print_json({**facts, "parity": parity, "milliseconds": found.milliseconds})
        return
    say(f"{found.directory}: {found.items:,} items as {found.format}, {size(found.bytes)}", style="bold")
    if found.parity is None:
        say(f"  not tried here: {found.unchecked}")
    else:
        one = found.parity
        say(f"  as the device ranks: the first ten of {one.same} of {one.histories} histories are the same,")
        say(f"  {one.shared:.1%} of their items are, and scores differ by {one.difference:.1e} at most")
    if found.milliseconds is not None:
        say(f"  time for a history: {found.milliseconds:.2f} ms, the median, one core of this machine")
    if found.format == "json":
        say(f"  to see it: python -m http.server --bind 127.0.0.1 --directory {found.directory} 8000")
