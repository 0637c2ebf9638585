"""``fedrec privacy``: one command a module of this folder, each with a function ``command``."""

from __future__ import annotations

import typer

from simulations.privacy import attack, audit, plan, statement, sweep, verify


def register(app: typer.Typer) -> None:
    """Add the group to ``fedrec``."""
    group = typer.Typer(help="Plan, state, verify and attack what a run promises.", no_args_is_help=True)
    group.command("audit")(audit.command)
    group.command("attack")(attack.command)
    group.command("plan")(plan.command)
    group.command("statement")(statement.command)
    group.command("sweep")(sweep.command)
    group.command("verify")(verify.command)
    app.add_typer(group, name="privacy")
