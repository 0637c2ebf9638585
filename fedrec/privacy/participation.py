"""Whether those who really took part are those that were accounted for, from the rows of a ledger alone.

Rows say of each round how many devices there are, how many were asked and survived, by which sampling, a keyed digest
of the cohort (equal cohorts, equal digests), and the fewest rounds between two participations of one device.  What is
random is held to its distribution: an outcome that honest sampling gives less often than once in 10^9 runs is a
finding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, assert_never

from scipy.special import bdtr, bdtrc

from fedrec.privacy.accountant import QueryCost, Sampling
from fedrec.privacy.ledger_entry import AHEAD, LedgerEntry

IMPLAUSIBLE: Final = 1e-9
_FACTS: Final = {
    "population": int,
    "asked": int,
    "survivors": int,
    "sampling": str,
    "probability": float,
    "cohort": str,
}


def check_rounds(entries: Iterable[LedgerEntry]) -> list[str]:
    """What is wrong with the list of rounds: one charged twice without saying so, or one left out; empty = nothing."""
    problems, seen = [], Counter[tuple[str, int]]()
    rounds: dict[str, set[int]] = {}
    for entry in entries:
        place = (entry.query, entry.round)
        if entry.detail.get("repeat", 0) != seen[place]:
            problems.append(f"{entry.query}, round {entry.round}, is charged twice (row {entry.number})")
        if entry.cost is not None and entry.cost.rounds != 1:
            problems.append(f"row {entry.number} charges {entry.cost.rounds} rounds at once")
        seen[place] += 1
        rounds.setdefault(entry.query, set()).add(entry.round)
    for query, numbers in rounds.items():
        missing = set(range(min(numbers), max(numbers) + 1)) - numbers
        if missing:
            problems.append(f"{query} has no row for round {min(missing)}, but for later ones")
    return problems


def check_participation(entries: Sequence[LedgerEntry]) -> list[str]:
    """What took part and was not accounted so, in sentences; empty when all is as accounted."""
    problems = [problem for entry in entries for problem in _facts(entry)]
    if problems:
        return problems
    for cost in {entry.cost for entry in entries if entry.cost is not None}:
        rows = [entry for entry in entries if entry.cost == cost and not is_in_full(entry)]
        problems += _sampled(cost, rows) if rows else ()
    if len({entry.detail["population"] for entry in entries}) > 1:
        problems.append("the number of devices changes from row to row")
    return problems


def is_in_full(entry: LedgerEntry) -> bool:
    """Whether a row is of a further attempt that was charged for everybody, and claims nothing for who was drawn."""
    again = bool(entry.detail.get("repeat", 0)) and bool(entry.detail.get(AHEAD))
    return again and entry.cost is not None and entry.cost.sampling == "full"


def draws_implausible(drawn: int, rounds: int, probability: float) -> bool:
    """Whether one device was drawn more often, in so many rounds, than honest Poisson sampling would ever do."""
    return drawn > 0 and float(bdtrc(drawn - 1, rounds, probability)) < IMPLAUSIBLE


def _facts(entry: LedgerEntry) -> Iterator[str]:
    name, detail = f"{entry.query}, round {entry.round}", entry.detail
    for fact, kind in _FACTS.items():
        value: Any = detail.get(fact)
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            yield f"{name}: its row does not say {fact}"
            return
    if not 0 <= detail["survivors"] <= detail["asked"] <= detail["population"]:
        counts = f"{detail['survivors']} of {detail['asked']} of {detail['population']}"
        yield f"{name}: more devices than there are ({counts})"
    if entry.cost is None or is_in_full(entry):
        return
    sampling = _sampling(entry.cost)
    # What is accounted as of a fixed size, and not as secret, claims nothing for the draw, so that any draw will do.
    kinds = ("fixed", "poisson") if sampling == "fixed" and not entry.cost.secret else (sampling,)
    if detail["sampling"] not in kinds or detail["probability"] != entry.cost.probability:
        done = f"{detail['sampling']} at {detail['probability']:g}"
        yield f"{name}: accounted as {sampling} at {entry.cost.probability:g}, but it was {done}"


def _sampling(cost: QueryCost) -> Sampling:
    """As whom it asks: everybody, where each is sure to be asked in every round."""
    return "full" if cost.probability == 1 and cost.minimum_separation == 1 else cost.sampling


def _sampled(cost: QueryCost, rows: Sequence[LedgerEntry]) -> Iterator[str]:
    sampling = _sampling(cost)
    match sampling:
        case "full":
            yield from _full(rows)
        case "poisson":
            yield from _poisson(cost, rows)
        case "fixed":
            if len({row.detail["asked"] for row in rows if row.detail["sampling"] == "fixed"}) > 1:
                yield f"{cost.query}: cohorts of a fixed size have different sizes"
            if cost.secret:
                yield from _without_replacement(cost, rows)
        case "cyclic":
            yield from _cyclic(cost, rows)
        case "balls-in-bins":
            yield from _balls_in_bins(cost, rows)
        case "cyclic-poisson":
            yield from _cyclic_poisson(cost, rows)
        case _:
            assert_never(sampling)


def _full(rows: Sequence[LedgerEntry]) -> Iterator[str]:
    for row in rows:
        if row.detail["asked"] != row.detail["population"]:
            asked = f"{row.detail['asked']} of {row.detail['population']}"
            yield f"{row.query}, round {row.round}: accounted for everybody, but {asked} were asked"
    if len({row.detail["cohort"] for row in rows}) > 1:
        yield f"{rows[0].query}: accounted for everybody, but the cohorts differ"


def _poisson(cost: QueryCost, rows: Sequence[LedgerEntry]) -> Iterator[str]:
    devices, probability = rows[0].detail["population"], cost.probability
    for row in rows:
        if _tail(row.detail["asked"], devices, probability) < IMPLAUSIBLE / len(rows):
            yield (
                f"{row.query}, round {row.round}: {row.detail['asked']} devices were asked, which a draw of each of "
                f"{devices} with probability {probability:g} does not give"
            )
    total = sum(row.detail["asked"] for row in rows)
    if _tail(total, devices * len(rows), probability) < IMPLAUSIBLE:
        expected = devices * len(rows) * probability
        yield f"{cost.query}: {total} devices were asked in all rounds together, where {expected:.1f} are expected"
    most = Counter(row.detail["cohort"] for row in rows).most_common(1)[0][1]
    # Of `most` rounds all have one cohort at most with the 2-norm of its distribution to the power of `most`.
    same = most / 2 * devices * math.log(probability**2 + (1 - probability) ** 2) + math.log(math.comb(len(rows), most))
    if most > 1 and same < math.log(IMPLAUSIBLE):
        yield f"{cost.query}: one and the same cohort was asked in {most} rounds: it was not drawn anew"


def _without_replacement(cost: QueryCost, rows: Sequence[LedgerEntry]) -> Iterator[str]:
    """Cohorts that are amplified are of the size that was accounted, and drawn anew each round."""
    devices, size = rows[0].detail["population"], rows[0].detail["asked"]
    if abs(size - cost.probability * devices) >= 1:
        yield f"{cost.query}: {size} of {devices} devices were asked, accounted was a share of {cost.probability:g}"
        return
    most = Counter(row.detail["cohort"] for row in rows).most_common(1)[0][1]
    cohorts = math.lgamma(devices + 1) - math.lgamma(size + 1) - math.lgamma(devices - size + 1)
    if most > 1 and math.log(math.comb(len(rows), most)) - (most - 1) * cohorts < math.log(IMPLAUSIBLE):
        yield f"{cost.query}: one and the same cohort was asked in {most} rounds: it was not drawn anew"


def _cyclic(cost: QueryCost, rows: Sequence[LedgerEntry]) -> Iterator[str]:
    minimum_separation = cost.minimum_separation
    for row in rows:
        gap = row.detail.get("gap")
        if gap is None and row.round > minimum_separation:
            yield f"{row.query}, round {row.round}: its row does not say how long ago its devices took part"
        elif gap is not None and gap < minimum_separation:
            yield (
                f"{row.query}, round {row.round}: a device was asked again after {gap} rounds, accounted were "
                f"{minimum_separation} at least"
            )
    participations = Counter(row.detail["cohort"] for row in rows).most_common(1)[0][1]
    accounted = -(-len(rows) // minimum_separation)
    if participations > accounted:
        yield f"{cost.query}: a cohort had {participations} participations, accounted were {accounted}"


def _balls_in_bins(cost: QueryCost, rows: Sequence[LedgerEntry]) -> Iterator[str]:
    """As cyclic groups, whose sizes are as each device's own draw gives them."""
    yield from _cyclic(cost, rows)
    groups = cost.minimum_separation
    for row in rows[:groups]:
        if _tail(row.detail["asked"], row.detail["population"], cost.probability) < IMPLAUSIBLE / min(
            len(rows), groups
        ):
            yield (
                f"{row.query}, round {row.round}: {row.detail['asked']} devices were asked, which dealing each of "
                f"{row.detail['population']} by itself into {groups} groups does not give"
            )


def _cyclic_poisson(cost: QueryCost, rows: Sequence[LedgerEntry]) -> Iterator[str]:
    """Devices come in their group's rounds only, and as many as a Poisson sample of a group gives."""
    groups = cost.minimum_separation
    for row in rows:
        asked, members = row.detail["asked"], row.detail["population"] // groups
        gap = row.detail.get("gap")
        if gap is not None and gap % groups:
            yield f"{row.query}, round {row.round}: a device was asked again after {gap} rounds, of {groups} groups"
        plausible = max(_tail(asked, size, cost.probability) for size in (members, members + 1))
        if plausible < IMPLAUSIBLE / len(rows):
            yield (
                f"{row.query}, round {row.round}: {asked} devices were asked, which a draw of each of {members} with "
                f"probability {cost.probability:g} does not give"
            )


def _tail(count: int, trials: int, probability: float) -> float:
    """Two-sided tail of a binomial at ``count``."""
    lower = float(bdtr(count, trials, probability))
    upper = float(bdtrc(count - 1, trials, probability)) if count else 1.0
    return min(1.0, 2 * min(lower, upper))
