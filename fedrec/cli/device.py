"""The device's commands: ``recommend`` ranks offline from a release and the device's own store; ``personalise`` trains
the private part of the model, which stays in that store; ``device clicked`` lets the device learn from clicks,
``device identity`` says who it is.  The others are in files of their own: what a person adds (``device_own``), what the
device gave (``device_budget``, ``device_verify``), and taking part (``device_start``)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli import device_budget, device_own, device_start, device_up, device_verify
from fedrec.cli.device_options import AllowOlder, Place, PublisherKey, ReleaseDirectory, User
from fedrec.cli.device_search import SearchOptions, tell_search
from fedrec.cli.groups import command_group
from fedrec.cli.pages import device_pages
from fedrec.cli.rows import AsJson
from fedrec.console import figure, print_json, say, show_table

Top = Annotated[int, typer.Option(min=1, max=1000, help="How many items.")]
Explore = Annotated[
    float | None,
    typer.Option(min=0, max=100, help="Re-rank by what this user clicked before, and try new things so much."),
]
Variety = Annotated[
    float, typer.Option(min=0, max=1, help="How much an item's likeness to those above it counts against it.")
]
Query = Annotated[str | None, typer.Option(help="Search by words instead, such as 'blue velvet lamp'.")]
Picture = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Search by a picture, a JPEG or PNG file.")
]
Taste = Annotated[float, typer.Option(min=0, max=1, help="How much the user's own ranking counts in a search.")]


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    app.command("recommend")(recommend)
    app.command("personalise")(personalise)
    device = command_group("Set a device up, and use it.")
    device_up.register(device)
    device_start.register(device)
    device.command("identity")(identity)
    device.command("recommend")(recommend_here)
    device_own.register(device)
    device.command("clicked")(clicked)
    device_budget.register(device)
    device.command("verify")(device_verify.command)
    device.command("pages")(device_pages)
    app.add_typer(device, name="device")


def recommend(
    release: Annotated[Path, typer.Argument()],
    store: Place,
    user: User = None,
    top: Top = 10,
    explore: Explore = None,
    variety: Variety = 0.0,
    query: Query = None,
    picture: Picture = None,
    taste: Taste = 0.0,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: AsJson = False,
) -> None:
    """Rank for one user of this device by RELEASE (a directory). Needs no network, and nothing leaves the device.

    With --query or --picture the catalogue is searched, what the user has met included.
    """
    from fedrec.client.places import store_in
    from fedrec.client.who import user_in

    file = store_in(store)
    user = user_in(file, user)
    if query is not None or picture is not None:
        asked = SearchOptions(query, picture, taste, top)
        tell_search(asked, release, file, user, trusted_key=key, allow_older=allow_older, as_json=as_json)
        return
    from fedrec.client.ranker import recommend as rank

    found = rank(release, file, user, top, trusted_key=key, explore=explore, variety=variety, allow_older=allow_older)
    if as_json:
        print_json({"user": user, "recommendations": [asdict(one) for one in found]})
        return
    rated = any(one.rating is not None for one in found)
    rows = [
        (one.rank, one.title or one.item, figure(one.score), *([figure(one.rating, 1)] if rated else []), one.reason)
        for one in found
    ]
    heads = ("", "title", "score", *(["rating"] if rated else []), "why")
    show_table(f"For {user}", heads, rows, numbers=(0, 2, 3) if rated else (0, 2))


def recommend_here(
    store: Place,
    release: ReleaseDirectory = None,
    user: User = None,
    top: Top = 10,
    explore: Explore = None,
    variety: Variety = 0.0,
    query: Query = None,
    picture: Picture = None,
    taste: Taste = 0.0,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: AsJson = False,
) -> None:
    """Rank for a user of this device, as ``fedrec recommend`` does, by the release in the device's directory."""
    from fedrec.client.places import needed_release

    named = needed_release(store, release)
    recommend(named, store, user, top, explore, variety, query, picture, taste, key, allow_older, as_json)


def personalise(
    release: Annotated[Path, typer.Argument()],
    store: Place,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="How many steps of training.")] = 20,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: AsJson = False,
) -> None:
    """Train the private vector of each user of this device against RELEASE (a directory). It never leaves the store."""
    from fedrec.client.personalise import personalise_store
    from fedrec.client.places import store_in

    users = personalise_store(release, store_in(store), steps=steps, trusted_key=key, allow_older=allow_older)
    if as_json:
        print_json({"users": users})
    else:
        say(f"{users} private vector{'s' if users != 1 else ''} kept in {store}")


def clicked(
    release: Annotated[Path, typer.Argument()],
    store: Place,
    shown: Annotated[list[str], typer.Option(help="An item that was shown; once for each of the list.")],
    user: User = None,
    item: Annotated[list[str] | None, typer.Option(help="An item of it that was clicked; none = nothing was.")] = None,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: AsJson = False,
) -> None:
    """Learn from what a user clicked of a list by RELEASE (a directory), for ``recommend --explore``.

    What is learned is kept in the store and never leaves it.  Clicks are not added to the user's events by this.
    """
    from fedrec.client.feedback import record_clicks
    from fedrec.client.places import store_in
    from fedrec.client.who import user_in

    file = store_in(store)
    user = user_in(file, user)
    count = record_clicks(release, file, user, shown, item or [], trusted_key=key, allow_older=allow_older)
    if as_json:
        print_json({"user": user, "learned_from": count})
    else:
        say(f"learned from {count} item{'s' if count != 1 else ''} shown to {user}; it stays in {file}")


def identity(
    store: Place,
    roster_key: Annotated[
        Path | None, typer.Option(help="A file with the public roster key: believe the rosters that it signs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the public identity of the device, for its line in the roster; it is made at the first call.

    The secret part stays in the store. A device is told once whose rosters it believes, and no server can change that.
    """
    from fedrec.client.places import store_in
    from fedrec.client.trust import identity_of, trust_roster_key
    from fedrec.data.store import EventStore
    from fedrec.secagg.identity import read_key

    key = None if roster_key is None else read_key(roster_key)
    with EventStore.open(store_in(store)) as opened, opened.transaction(durable=True):
        public = identity_of(opened).public.hex()
        if key is not None:
            trust_roster_key(opened, key)
    if as_json:
        print_json({"identity": public, "roster_key": None if key is None else key.hex()})
    else:
        say(public)
