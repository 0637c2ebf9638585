"""``fedrec privacy audit``: what a run claims, beside the lower bounds that canaries give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrec.cli.data_option import FromInteractions, source_of
from fedrec.console import figure, print_json, say, show_table
from fedrec.errors import PrivacyError

_COLUMNS = ("claim", "runs", "one-run bound", "f-DP bound", "estimate, not a bound", "guesses right", "seconds a run")


def command(
    target: Annotated[
        Path, typer.Argument(help="A config, or the directory of a run whose settings are audited anew.")
    ],
    data: Annotated[Path, typer.Option(help="A data directory or file: see `fedrec simulate`.")],
    canaries: Annotated[
        int | None, typer.Option(min=16, max=20_000, help="Canary rows; by default the config's, or 500.")
    ] = None,
    epsilon: Annotated[
        list[float] | None, typer.Option(min=0.0, help="A claim to audit; may be given several times.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=1_000, help="Runs for each claim, with seeds from the config's.")
    ] = 1,
    confidence: Annotated[
        float | None, typer.Option(min=0.5, max=0.999999, help="Of the bounds, together; by default the config's.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as section.key=value.")
    ] = None,
    from_interactions: FromInteractions = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of words and tables.")
    ] = False,
) -> None:
    """Test a claim: train with canaries, guess which were in, and bound epsilon from below.

    Ends with exit code 6 where a lower bound over all runs of a claim is above the claim.
    """
    from fedrec.api.audit import audit_privacy

    found = audit_privacy(
        target,
        source_of(data, from_interactions),
        canaries=canaries,
        epsilons=epsilon or [],
        seeds=seeds,
        confidence=confidence,
        overrides=settings or [],
        progress=not as_json,
    )
    if as_json:
        print_json(found)
    else:
        show(found)
    if found["violated"]:
        raise typer.Exit(PrivacyError.exit_code)


def show(found: Mapping[str, Any]) -> None:
    """Print what `fedrec.audit_privacy` found."""
    rows = [_row(one) for one in found["audits"]]
    what = "users" if found["unit"] == "user" else "interactions"
    show_table(f"Audit with {found['canaries']:,} canary {what}: epsilon", _COLUMNS, rows, numbers=range(len(_COLUMNS)))
    for one in found["audits"]:
        claim = one["claim"]
        word = "REFUTED: a lower bound is above it" if one["violated"] else "not refuted"
        say(f"Claim epsilon {claim['epsilon']:.2f} at delta {claim['delta']:.1e}: {word}", style="bold")
    confidence = found["audits"][0]["confidence"]
    say(
        f"Both bounds of a claim hold together at {confidence:.1%} confidence, over all its runs as one experiment. "
        "A bound below the claim does not prove the claim; an estimate carries no confidence at all."
    )


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    runs: Sequence[Mapping[str, Any]] = one["runs"]
    estimates = [run["estimate"]["epsilon"] for run in runs if run["estimate"]["epsilon"] is not None]
    mean = sum(estimates) / len(estimates) if estimates else None
    best = one["f_dp"]
    return (
        figure(one["claim"]["epsilon"], 2),
        figure(len(runs)),
        figure(one["one_run"]["epsilon_lower_bound"], 2),
        figure(best["epsilon_lower_bound"], 2),
        figure(mean, 2),
        f"{best['correct']:,} of {best['guesses']:,}",
        figure(sum(run["seconds"] for run in runs) / len(runs), 1),
    )
