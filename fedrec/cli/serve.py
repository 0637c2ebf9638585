"""``fedrec serve``: rank over HTTP with a release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.console import say


def register(app: typer.Typer) -> None:
    """Add this shell's command to ``fedrec``."""
    app.command("serve")(serve)


def serve(
    release: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    host: Annotated[str, typer.Option(help="Where to listen; beyond loopback FEDREC_SERVE_TOKEN must be set.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port.")] = 8080,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Processes; 0: one a core it may use.")] = 0,
    key: Annotated[
        Path | None, typer.Option(help="A file with the publisher's public key: refuse what it did not sign.")
    ] = None,
) -> None:
    """Rank over HTTP with RELEASE (a directory) for histories in requests; nothing is kept between them.

    POST /recommend and /search, GET /release and /health; /openapi.json describes them.
    """
    from fedrec.cores import Cores
    from fedrec.serving.process import serve as run

    say(f"http://{host}:{port}/openapi.json")
    run(release, host=host, port=port, workers=workers or Cores.here().usable, trusted_key=key)
