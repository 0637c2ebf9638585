"""Ledgers that lie, each in one way, with a chain of hashes that holds all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedrec.privacy.chain import Chain
from fedrec.privacy.ledger import Ledger


def rewrite(run: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """A server that lies writes another ledger, with a chain that is intact, and claims made of it."""
    path = run / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        rows = ledger._chain.bodies()
    path.unlink()
    change(rows)
    with Chain(path, lambda: rows[0]) as chain, chain.transaction():
        for row in rows[1:]:
            chain.append(row)
        head = chain.head
    change_record(run, lambda record: record["privacy"]["ledger"].update(head=head, rows=len(rows) - 1))


def change_record(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))


def training(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows[1:] if row["query"] == "training"]


def half_noise(rows: list[dict[str, Any]]) -> None:
    for row in training(rows):
        row["cost"]["noise_multiplier"] /= 2


def everybody_asked(rows: list[dict[str, Any]]) -> None:
    for row in training(rows):
        row["detail"]["asked"] = row["detail"]["population"]


def sampling_not_as_accounted(rows: list[dict[str, Any]]) -> None:
    for row in training(rows):
        row["detail"]["sampling"] = "fixed"


def never_drawn_anew(rows: list[dict[str, Any]]) -> None:
    for row in training(rows):
        row["detail"]["cohort"] = "0" * 64


def claims_a_smaller_probability(rows: list[dict[str, Any]]) -> None:
    for row in training(rows):
        row["detail"]["probability"] = row["cost"]["probability"] = 0.05


def one_round_twice(rows: list[dict[str, Any]]) -> None:
    rows.append(dict(training(rows)[-1]))


def a_round_left_out(rows: list[dict[str, Any]]) -> None:
    rows.remove(training(rows)[2])


def another_budget(rows: list[dict[str, Any]]) -> None:
    rows[0]["budget"]["epsilon"] = 99.0


def without_noise(rows: list[dict[str, Any]]) -> None:
    rows[1]["cost"] = {"noise_multiplier": None}


def silent_about_the_cohort(rows: list[dict[str, Any]]) -> None:
    del rows[1]["detail"]["population"]
