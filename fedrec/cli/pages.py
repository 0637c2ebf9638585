"""``server pages`` and ``device pages``: look at runs, or at a device, in a browser on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli.device_options import AllowOlder, Place, PublisherKey, ReleaseDirectory
from fedrec.cli.rows import AsJson
from fedrec.console import print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedrec.pages.process import PageListener

Port = Annotated[int, typer.Option(min=0, max=65_535, help="The port on 127.0.0.1; 0 = any that is free.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the link in a browser.")]


def server_pages(
    runs: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    port: Port = 0,
    browser: Browser = True,
    as_json: AsJson = False,
) -> None:
    """Show the runs in RUNS (a directory, and those below it) in a browser, live; nothing can be changed there.

    The link that is printed opens the pages once. FEDREC_PAGES_TOKEN is a token for programs.
    """
    from fedrec.pages.process import operator_listener

    run_pages([operator_listener(runs, port)], browser=browser, as_json=as_json)


def device_pages(
    store: Place,
    release: ReleaseDirectory = None,
    items: Annotated[Path | None, typer.Option(help="A data directory whose images/ has the items' pictures.")] = None,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    port: Port = 0,
    browser: Browser = True,
    as_json: AsJson = False,
) -> None:
    """Show in a browser what the device knows, what it recommends and why, and what has left it.

    An event, a note or a photo that is added there changes the ranking at once. Nothing leaves this machine.
    """
    from fedrec.client.places import needed_release, store_in
    from fedrec.pages.process import device_listener

    listener = device_listener(
        store_in(store), needed_release(store, release), items, port, trusted_key=key, allow_older=allow_older
    )
    run_pages([listener], browser=browser, as_json=as_json)


def run_pages(listeners: Sequence[PageListener], *, browser: bool, as_json: bool) -> None:
    """Print the links, and answer until the process is told to end."""
    from fedrec.pages.process import serve

    if as_json:
        print_json({one.name: one.link for one in listeners})
    else:
        for one in listeners:
            say(f"{one.name}: {one.link}", style="bold")
        say("Each link opens once, in one browser. Stop with Ctrl-C.")
    serve(listeners, browser=browser)
