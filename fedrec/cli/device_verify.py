"""``fedrec device verify``: was all that a device ever sent within its agreements?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.device_options import Place
from fedrec.cli.rows import AsJson
from fedrec.console import figure, print_json, say, show_table
from fedrec.errors import PrivacyError


def command(
    store: Place,
    manifest: Annotated[
        list[Path] | None, typer.Option(help="Hold the device to the budget in this manifest, too; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check, from what the device kept, that everything it ever sent was within what it had agreed to.

    Composes each agreement's cost again from the noise in the ledger's rows; leaves with 6 where something does not
    fit, and names the row.
    """
    from fedrec.client.places import store_in
    from fedrec.client.transcript import verify_transcript
    from fedrec.client.trust import publisher_of
    from fedrec.data.store import EventStore
    from fedrec.queries.run_manifest import read_manifest

    file = store_in(store)
    with EventStore.open(file) as opened:
        manifests = [read_manifest(path, publisher_of(opened)) for path in manifest or ()]
        found = verify_transcript(opened, manifests)
    if as_json:
        print_json({"passed": not found.problems, **asdict(found)})
    else:
        rows = [
            (
                one.key[:16],
                one.rows,
                one.runs,
                ", ".join(one.noise),
                figure(one.spent),
                figure(one.epsilon),
                "FAILS" if one.problems else "holds",
            )
            for one in found.agreements
        ]
        columns = ("agreement", "answers", "runs", "noise added by", "epsilon given", "agreed", "")
        show_table(f"What {file.name} gave", columns, rows, numbers=(1, 2, 4, 5))
        if any("server" in one.noise for one in found.agreements):
            say("Noise that the server was to add is the server's word: the device cannot see it.")
        for problem in found.problems:
            say(problem, style="bold")
    if found.problems:
        if as_json:
            raise typer.Exit(PrivacyError.exit_code)
        action = "Do not take part any more with this store, and keep it: it shows what was given"
        raise PrivacyError("the device gave more than it had agreed to", value=len(found.problems), action=action)
