"""From the rows of a device's ledger alone: was all that the device gave within what it had agreed to?

Nothing is taken from running totals: each agreement's cost is composed again, row by row, from the noise in its rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.device_entry import Agreement, DeviceLedgerEntry, NoiseBy

# Composing the same rows in another order, or by another formula, changes this much.
_SAME = 1e-6


@dataclass(frozen=True)
class AgreementVerdict:
    """What was given under one agreement.

    Args:
        key: the agreement's.
        noise: who was to make it private.
        rows: how many answers.
        runs: under how many names of the run.
        spent: epsilon of all of them, None without noise.  With noise of the server, by its word.
        epsilon, delta: what was agreed; epsilon None = nothing.
        problems: what does not fit, each naming its row; none = all was within the agreement.
    """

    key: str
    noise: tuple[NoiseBy, ...]
    rows: int
    runs: int
    spent: float | None
    epsilon: float | None
    delta: float
    problems: tuple[str, ...]


def verify_rows(
    rows: Sequence[DeviceLedgerEntry], signed: Mapping[str, Agreement] | None = None
) -> list[AgreementVerdict]:
    """Every agreement that a ledger has rows of, in the order of their first rows.

    ``signed``: what is known to have been agreed, by key, such as out of manifests; rows that say otherwise are named.
    """
    numbered: dict[str, list[tuple[int, DeviceLedgerEntry]]] = {}
    for number, row in enumerate(rows):
        numbered.setdefault(row.agreement, []).append((number, row))
    return [_verdict(found, (signed or {}).get(key)) for key, found in numbered.items()]


def _verdict(found: Sequence[tuple[int, DeviceLedgerEntry]], signed: Agreement | None) -> AgreementVerdict:
    rows = [row for _, row in found]
    delta = min(row.delta for row in rows)
    bare = any(row.cost is None for row in rows)
    return AgreementVerdict(
        rows[0].agreement,
        tuple(sorted({row.noise for row in rows})),
        len(rows),
        len({row.run for row in rows}),
        None if bare else _composed(rows, delta),
        rows[0].epsilon,
        delta,
        (*_inconsistent(found, signed), *_overspent(found, delta), *_out_of_turn(found)),
    )


def _inconsistent(found: Sequence[tuple[int, DeviceLedgerEntry]], signed: Agreement | None) -> Iterator[str]:
    first = found[0][1]
    for number, row in found:
        if row.epsilon != first.epsilon:
            yield f"row {number}: an epsilon of {row.epsilon} was agreed, by the rows before {first.epsilon}"
        if signed is not None and (row.epsilon != signed.epsilon or row.delta > signed.delta * (1 + _SAME)):
            agreed = f"epsilon {signed.epsilon} at delta {signed.delta:.3g}"
            yield f"row {number}: it speaks of epsilon {row.epsilon} at delta {row.delta:.3g}, signed was {agreed}"
        if (row.cost is None) != (row.noise == "none"):
            yield f"row {number}: noise of {row.noise}, and a cost of {row.cost}"
        if row.cost is not None and (row.releases < 0 or row.cost.query != row.query):
            yield f"row {number}: what it charges is not what was answered"
        if row.noise == "devices" and row.cost is not None and (row.releases != 1 or not row.cost.exact):
            yield f"row {number}: noise that devices share is charged in full, and once"


def _overspent(found: Sequence[tuple[int, DeviceLedgerEntry]], delta: float) -> Iterator[str]:
    """The first row with which the device had given more, by its own noise, than was agreed."""
    own = [(number, row) for number, row in found if row.noise in ("devices", "device") and row.cost is not None]
    if not own or (whole := _composed([row for _, row in own], delta)) is None:
        return
    agreed = own[0][1].epsilon
    if agreed is not None and whole <= agreed * (1 + _SAME):
        return
    least, most = 0, len(own)  # with `least` rows it is within, with `most` it is not
    while most - least > 1:
        middle = (least + most) // 2
        spent = _composed([row for _, row in own[:middle]], delta) or 0.0
        least, most = (middle, most) if agreed is not None and spent <= agreed * (1 + _SAME) else (least, middle)
    yield f"row {own[most - 1][0]}: with it epsilon {whole:.4g} was given in all, agreed was {agreed}"


def _out_of_turn(found: Sequence[tuple[int, DeviceLedgerEntry]]) -> Iterator[str]:
    """Rounds of a query only go up, within a run; and where the server adds the noise, as many as were planned."""
    last: dict[tuple[str, str], int] = {}
    for number, row in found:
        before = last.get((row.run, row.query), -math.inf)
        if row.round < before:
            yield f"row {number}: {row.query}, round {row.round}, was answered after round {before}"
        last[row.run, row.query] = row.round
    rounds: dict[str, set[int]] = {}
    for number, row in found:
        answered = rounds.setdefault(row.query, set())
        answered.add(row.round)
        if row.noise == "server" and len(answered) > row.planned:
            yield f"row {number}: {row.query} was answered in {len(answered)} rounds, planned were {row.planned}"


def _composed(rows: Sequence[DeviceLedgerEntry], delta: float) -> float | None:
    costs: Counter[QueryCost] = Counter()
    for row in rows:
        if row.cost is not None and row.releases:
            costs[replace(row.cost, rounds=1)] += row.releases
    return epsilon([replace(cost, rounds=count) for cost, count in costs.items()], delta)
