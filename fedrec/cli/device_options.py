"""Options that the device's commands have in common, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Place = Annotated[Path, typer.Option("--store", help="The device's event store, or the directory that it lies in.")]
User = Annotated[str | None, typer.Option(help="Which user of the store; not needed where there is only one.")]
NewUser = Annotated[bool, typer.Option("--new-user", help="Begin USER where the store has others already.")]
ReleaseDirectory = Annotated[
    Path | None, typer.Option("--release", help="A release's directory; by default 'release' beside the store.")
]
PublisherKey = Annotated[
    Path | None, typer.Option(help="A file with the publisher's public key: refuse what it did not sign.")
]
AllowOlder = Annotated[
    bool, typer.Option("--allow-older", help="Use the release although this device has ranked with a newer one.")
]


def when(seconds: int | None) -> str:
    """A time for people, in the zone of this machine; empty for None."""
    from datetime import datetime

    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return str(seconds)
