"""``fedrec device budget``, ``ledger`` and ``forget``: what the device gave, what that cost, and what stays of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrec.cli.device_options import Place, User, when
from fedrec.cli.rows import AsJson
from fedrec.console import figure, print_json, say, show_table

if TYPE_CHECKING:
    from fedrec.client.given import GivenSums

Limit = Annotated[
    float | None,
    typer.Option(min=0, help="From now on give no more than this epsilon, over all runs; 0 takes the limit away."),
]
_SERVERS_WORD = "Noise that the server was to add is the server's word: the device cannot see it."


def register(device: typer.Typer) -> None:
    """Add these commands to ``fedrec device``."""
    device.command("budget")(budget)
    device.command("ledger")(ledger)
    device.command("forget")(forget)


def budget(store: Place, limit: Limit = None, as_json: AsJson = False) -> None:
    """Show what ever left this device, by run and query, what it cost, and what is left of its limit."""
    from fedrec.client.budget import set_budget
    from fedrec.client.given import given
    from fedrec.client.places import store_in
    from fedrec.data.store import EventStore

    with EventStore.open(store_in(store)) as opened:
        if limit is not None:
            set_budget(opened, limit)
        found = given(opened)
    if as_json:
        print_json({"answers": found.answers, **asdict(found)})
        return
    _show_sums("What left this device: its share of these sums, and nothing else", found)
    for one in found.agreements:
        agreed = f"{figure(one.spent)} of {figure(one.epsilon)} at delta {one.delta:.2g}"
        say(f"agreement {one.key[:16]}: {one.rows} answers in {one.runs} runs, epsilon {agreed}")
    if any(row.noise == ("server",) for row in found.sums):
        say(_SERVERS_WORD)
    rest = "no limit of its own" if found.limit is None else f"{figure(found.left)} of {figure(found.limit)} left"
    say(f"epsilon in all: {figure(found.epsilon)}; {rest}", style="bold")


def ledger(store: Place, budget: Limit = None, as_json: AsJson = False) -> None:
    """Check the device's own ledger, and show what each sum it added to has cost it, and all of them together."""
    from fedrec.client.budget import ledger_facts, set_budget
    from fedrec.client.places import store_in
    from fedrec.data.store import EventStore

    file = store_in(store)
    with EventStore.open(file) as opened:
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
    show_table(f"Sums that {file.name} added to", columns, rows, numbers=(2, 3))
    if any(row["noise"] == "server" for row in facts["rows"]):
        say(_SERVERS_WORD)
    say(f"epsilon in all: {figure(facts['epsilon'])}, of {figure(facts['budget'])}", style="bold")


def forget(store: Place, user: User = None, as_json: AsJson = False) -> None:
    """Erase all that the device holds of a user, and overwrite it in the file; says what cannot be recalled.

    What was added to private sums before stays in them; the device's ledger keeps what it cost.
    """
    from fedrec.client.given import forget_user
    from fedrec.client.places import store_in
    from fedrec.client.who import chosen_user
    from fedrec.data.store import EventStore

    file = store_in(store)
    with EventStore.open(file) as opened:
        name = chosen_user(opened, user)
        before = forget_user(opened, name)
    if as_json:
        kept: dict[str, Any] = {"answers": before.answers, "epsilon": before.epsilon}
        kept["sums"] = [asdict(one) for one in before.sums]
        print_json({"forgotten": name, "not_recalled": {**kept, "unrecorded": before.unrecorded}})
        return
    say(f"nothing of {name} is left in {file}")
    if before.sums or before.unrecorded:
        _show_sums("What cannot be recalled: this device's share is in these sums", before)
        say(
            "Of each, the server has a sum over many devices and not this device's share alone where secure aggregation"
        )
        say(f"was used. What can be learned from all of it is bounded by epsilon {figure(before.epsilon)}.")
    else:
        say("This device took part in no sum: there is nothing to recall.")


def _show_sums(title: str, found: GivenSums) -> None:
    rows = [
        (one.run[:16], one.query, len(one.rounds), ", ".join(one.noise), when(one.first), when(one.last))
        for one in found.sums
    ]
    rows += [(run[:16], "not in the ledger", 1, "", "", "") for run in found.unrecorded]
    show_table(title, ("run", "query", "sums", "noise added by", "first", "last"), rows, numbers=(2,))
