"""The option that every command with data has: that its items are public where it has no list of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedrec.data.sources import Source

FromInteractions = Annotated[
    bool,
    typer.Option(
        "--catalogue-from-interactions",
        help="Where there is no list of items, take those of the interactions: says that they are public, since such a "
        "list shows what a single person touched.",
    ),
]


def source_of(data: Path, from_interactions: bool) -> Source:
    """What `read_data` takes."""
    from fedrec.data.sources import CatalogueFromInteractions

    return CatalogueFromInteractions(data) if from_interactions else data
