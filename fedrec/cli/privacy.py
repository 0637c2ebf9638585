"""``fedrec privacy``: one command a module of this folder, each with a function ``command``."""

from __future__ import annotations

import typer

from fedrec.cli import privacy_attack as attack
from fedrec.cli import privacy_audit as audit
from fedrec.cli import privacy_plan as plan
from fedrec.cli import privacy_statement as statement
from fedrec.cli import privacy_sweep as sweep
from fedrec.cli import privacy_verify as verify
from fedrec.cli.groups import command_group


def register(app: typer.Typer) -> None:
    """Add the group to ``fedrec``."""
    group = command_group("Plan, state, verify and attack what a run promises.")
    group.command("audit")(audit.command)
    group.command("attack")(attack.command)
    group.command("plan")(plan.command)
    group.command("statement")(statement.command)
    group.command("sweep")(sweep.command)
    group.command("verify")(verify.command)
    app.add_typer(group, name="privacy")
