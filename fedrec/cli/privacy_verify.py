"""``fedrec privacy verify``: hold what a run left against its ledger."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from fedrec.console import print_json, say, show_table
from fedrec.errors import PrivacyError

MEANING: Final = {
    "ledger": "no row was changed, taken out or put in",
    "head": "record and release were made of this ledger, as it ends",
    "budget": "settings and ledger have one budget, and it is kept",
    "epsilon": "what is claimed is what the rows compose to",
    "rounds": "no round is charged twice or left out",
    "participation": "who took part fits what was accounted",
    "noise": "the noise is what settings and budget give",
    "sums": "each opened sum has its row, each row its sum",
    "release": "the release is whole, and its card speaks of this ledger",
    "devices": "the devices' own ledgers are whole, and know of every sum (where they are at hand)",
}


def command(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What a run left: its --out directory.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of words and tables.")
    ] = False,
) -> None:
    """Recompute a run's privacy from its ledger alone; leaves with 6 if anything that was said does not hold."""
    from fedrec.api.privacy import verify

    checks = verify(run)
    failed = [check for check in checks if not check.passed]
    if as_json:
        print_json({"passed": not failed, "checks": [asdict(check) | {"passed": check.passed} for check in checks]})
    else:
        rows = [(check.name, "holds" if check.passed else "FAILS", MEANING[check.name]) for check in checks]
        show_table(f"Privacy of {run}", ("check", "", "what it means"), rows)
        for check in failed:
            for problem in check.problems[:5]:
                say(f"{check.name}: {problem}", style="bold")
    if failed:
        if as_json:
            raise typer.Exit(PrivacyError.exit_code)
        names = ", ".join(check.name for check in failed)
        raise PrivacyError("the run is not what it says", value=names, action="Do not rely on its claims")
