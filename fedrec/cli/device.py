"""The device's commands: ``recommend`` ranks offline from a release and the device's own store; ``personalise`` trains
the private part of the model, which stays in that store; ``device clicked`` lets the device learn from clicks,
``device identity`` says who it is, ``device ledger`` what it gave, ``device verify`` whether that was agreed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli import device_verify
from fedrec.cli.device_search import SearchOptions, tell_search
from fedrec.cli.device_start import register as register_start
from fedrec.cli.pages import device_pages
from fedrec.console import figure, print_json, say, show_table

PublisherKey = Annotated[
    Path | None, typer.Option(help="A file with the publisher's public key: refuse what it did not sign.")
]
AllowOlder = Annotated[
    bool, typer.Option("--allow-older", help="Use the release although this device has ranked with a newer one.")
]


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    app.command("recommend")(recommend)
    app.command("personalise")(personalise)
    device = typer.Typer(help="Set a device up.", no_args_is_help=True)
    register_start(device)
    device.command("identity")(identity)
    device.command("ledger")(ledger)
    device.command("verify")(device_verify.command)
    device.command("clicked")(clicked)
    device.command("forget")(forget)
    device.command("pages")(device_pages)
    app.add_typer(device, name="device")


def recommend(
    release: Annotated[Path, typer.Argument()],
    store: Annotated[Path, typer.Option(help="The device's event store.")],
    user: Annotated[str, typer.Option(help="Whom to recommend to.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many items.")] = 10,
    explore: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Re-rank by what this user clicked before, and try new things so much."),
    ] = None,
    variety: Annotated[
        float,
        typer.Option(min=0, max=1, help="How much an item's likeness to those above it counts against it."),
    ] = 0.0,
    query: Annotated[str | None, typer.Option(help="Search by words instead, such as 'blue velvet lamp'.")] = None,
    picture: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Search by a picture, a JPEG or PNG file.")
    ] = None,
    taste: Annotated[
        float, typer.Option(min=0, max=1, help="How much the user's own ranking counts in a search.")
    ] = 0.0,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Rank for one user of this device by RELEASE (a directory). Needs no network, and nothing leaves the device.

    With --query or --picture the catalogue is searched, what the user has met included.
    """
    if query is not None or picture is not None:
        asked = SearchOptions(query, picture, taste, top)
        tell_search(asked, release, store, user, trusted_key=key, allow_older=allow_older, as_json=as_json)
        return
    from fedrec.client.ranker import recommend as rank

    found = rank(release, store, user, top, trusted_key=key, explore=explore, variety=variety, allow_older=allow_older)
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


def personalise(
    release: Annotated[Path, typer.Argument()],
    store: Annotated[Path, typer.Option(help="The device's event store.")],
    steps: Annotated[int, typer.Option(min=1, max=1000, help="How many steps of training.")] = 20,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train the private vector of each user of this device against RELEASE (a directory). It never leaves the store."""
    from fedrec.client.personalise import personalise_store

    users = personalise_store(release, store, steps=steps, trusted_key=key, allow_older=allow_older)
    if as_json:
        print_json({"users": users})
    else:
        say(f"{users} private vector{'s' if users != 1 else ''} kept in {store}")


def clicked(
    release: Annotated[Path, typer.Argument()],
    store: Annotated[Path, typer.Option(help="The device's event store.")],
    user: Annotated[str, typer.Option(help="Who was shown the list.")],
    shown: Annotated[list[str], typer.Option(help="An item that was shown; once for each of the list.")],
    item: Annotated[list[str] | None, typer.Option(help="An item of it that was clicked; none = nothing was.")] = None,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Learn from what a user clicked of a list by RELEASE (a directory), for ``recommend --explore``.

    What is learned is kept in the store and never leaves it.  Clicks are not added to the user's events by this.
    """
    from fedrec.client.feedback import record_clicks

    count = record_clicks(release, store, user, shown, item or [], trusted_key=key, allow_older=allow_older)
    if as_json:
        print_json({"user": user, "learned_from": count})
    else:
        say(f"learned from {count} item{'s' if count != 1 else ''} shown to {user}; it stays in {store}")


def forget(
    store: Annotated[Path, typer.Option(help="The device's event store.")],
    user: Annotated[str, typer.Option(help="Whom to forget.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Erase all that the device holds of a user, and overwrite it in the file.

    What was added to private sums before stays in them; the device's ledger keeps what it cost.
    """
    from fedrec.data.store import EventStore
    from fedrec.errors import StoreError

    with EventStore.open(store) as opened:
        if user not in opened.users():
            raise StoreError("this device has no such user", value=user, action="Nothing is kept of it")
        opened.forget(user)
    if as_json:
        print_json({"forgotten": user})
    else:
        say(f"nothing of {user} is left in {store}")


def identity(
    store: Annotated[Path, typer.Option(help="The device's event store.")],
    roster_key: Annotated[
        Path | None, typer.Option(help="A file with the public roster key: believe the rosters that it signs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the public identity of the device, for its line in the roster; it is made at the first call.

    The secret part stays in the store. A device is told once whose rosters it believes, and no server can change that.
    """
    from fedrec.client.trust import identity_of, trust_roster_key
    from fedrec.data.store import EventStore
    from fedrec.secagg.identity import read_key

    key = None if roster_key is None else read_key(roster_key)
    with EventStore.open(store) as opened, opened.transaction(durable=True):
        public = identity_of(opened).public.hex()
        if key is not None:
            trust_roster_key(opened, key)
    if as_json:
        print_json({"identity": public, "roster_key": None if key is None else key.hex()})
    else:
        say(public)


def ledger(
    store: Annotated[Path, typer.Option(help="The device's event store.")],
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="From now on give no more than this epsilon, over all runs; 0 takes the limit away."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the device's own ledger, and show what each sum it added to has cost it, and all of them together."""
    from fedrec.client.budget import ledger_facts, set_budget
    from fedrec.data.store import EventStore

    with EventStore.open(store) as opened:
        if budget is not None:
            set_budget(opened, budget)
        facts = ledger_facts(opened)
    if as_json:
        print_json(facts)
        return
    rows = [
        (row["run"], row["query"], row["round"], figure((row["cost"] or {}).get("noise_multiplier")), row["noise"])
        for row in facts["rows"]
    ]
    columns = ("run", "query", "round", "noise multiplier", "added by")
    show_table(f"Sums that {store.name} added to", columns, rows, numbers=(2, 3))
    if any(row["noise"] == "server" for row in facts["rows"]):
        say("Noise that the server was to add is the server's word: the device cannot see it.")
    say(f"epsilon in all: {figure(facts['epsilon'])}, of {figure(facts['budget'])}", style="bold")
