"""How fast a device finds its best items: searches of item vectors beside one plain pass over their bytes.

The plain pass reads each byte of the float32 vectors once and keeps the largest value, in blocks, by as many threads as
the searches have: less than that no search of all of them can take.  Every contender searches for one user after
another, one at a time, and the list that it finds is compared with that of all scores sorted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedrec.ranking.block_workers import BlockWorkers
from fedrec.ranking.compact_search import CompactSearch
from fedrec.ranking.compact_table import CompactTable, Kind
from fedrec.ranking.history_sum import HistorySum
from fedrec.ranking.row_search import RowSearch
from fedrec.simulation.bench.measuring import Machine, Timing, in_turn
from fedrec.simulation.bench.rank_rivals import rival

Floats32 = NDArray[np.float32]
VectorKind = Literal["gaussian", "clustered"]
Search = Callable[[Floats32], NDArray[np.integer[Any]]]

VECTORS: Final[tuple[VectorKind, ...]] = get_args(VectorKind)
USERS: Final = 32
PLAIN_ROWS: Final = 16384
NEARLY: Final = 0.42
"""How much of the unread dimensions the search ``int8, nearly exact`` allows for, see `CompactSearch`."""
HISTORY: Final = 200
CLUSTERS: Final = 500
STORED: Final[tuple[Kind, ...]] = ("int8", "float16")


@dataclass(frozen=True)
class RankSizes:
    """What is searched: ``items`` of ``width`` numbers each for lists of ``k``."""

    items: int
    width: int
    k: int


def run_rank(
    sizes: RankSizes, *, vectors: Sequence[VectorKind] = VECTORS, rivals: Sequence[str] = (), seconds: float = 5.0
) -> dict[str, Any]:
    """Measure every search on vectors of each kind, for about so many seconds a kind.

    Returns:
        machine, sizes, and for each kind of vectors: each contender's seconds, its ratio to the plain pass, and its
        recall, the share of the k best that it finds; and what a new event costs.

    Raises:
        MissingExtraError: a rival that is not installed.
    """
    found: dict[str, Any] = {"machine": Machine.here().facts(), "sizes": vars(sizes), "users": USERS}
    for kind in vectors:
        with TemporaryDirectory() as place:
            rows, users = drawn(sizes, kind)
            np.save(Path(place) / "rows.npy", rows)
            del rows
            mapped = np.load(Path(place) / "rows.npy", mmap_mode="r")
            found[kind] = _one_kind(mapped, users, sizes.k, rivals, seconds)
    return found


def drawn(sizes: RankSizes, kind: VectorKind) -> tuple[Floats32, Floats32]:
    """Items [items, width] and users [`USERS`, width], from a fixed seed.

    ``gaussian``: all numbers by themselves, the hardest for any search.  ``clustered``: like factors of behaviour:
    dimensions of falling spread, items around centres, lengths that differ as popularity does; a user is the mean of
    ten items, half of them from one cluster.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((sizes.items, sizes.width), dtype=np.float32)
    if kind == "gaussian":
        return rows, rng.standard_normal((USERS, sizes.width), dtype=np.float32)
    spread = (1.0 + np.arange(sizes.width, dtype=np.float32)) ** -0.5
    centres = rng.standard_normal((CLUSTERS, sizes.width), dtype=np.float32)
    cluster = rng.integers(0, CLUSTERS, sizes.items)
    rows *= np.float32(0.6)
    rows += centres[cluster]
    rows *= spread
    rows *= np.exp(0.4 * rng.standard_normal((sizes.items, 1), dtype=np.float32))
    users = []
    for user in range(USERS):
        own = np.flatnonzero(cluster == cluster[user])[:5]
        users.append(rows[np.concatenate([own, rng.integers(0, sizes.items, 5)])].mean(axis=0))
    return rows, np.stack(users)


def _one_kind(rows: Floats32, users: Floats32, k: int, rivals: Sequence[str], seconds: float) -> dict[str, Any]:
    made: dict[str, CompactTable] = {}
    cost: dict[str, float] = {}
    for stored in STORED:
        started = time.perf_counter()
        made[stored] = CompactTable.of(rows, stored)
        cost[stored] = time.perf_counter() - started
    searches: dict[str, Search] = {
        "float32": _places(RowSearch(rows), k),
        "float16": _places(CompactSearch(made["float16"], rows), k),
        "int8": _places(CompactSearch(made["int8"], rows), k),
        "int8, nearly exact": _places(CompactSearch(made["int8"], rows, rest=NEARLY), k),
        "int8 alone": _places(CompactSearch(made["int8"]), k),
        **{name: rival(name, rows, k) for name in rivals},
    }
    wanted = [set(np.argsort(-(rows @ user), kind="stable")[:k].tolist()) for user in users]
    recall = {name: _recall(search, users, wanted) for name, search in searches.items()}
    plain = _plain_pass(rows)
    timed = in_turn(
        {"plain pass": plain, **{name: _in_order(search, users) for name, search in searches.items()}}, seconds
    )
    return {
        "searches": {name: _facts(timing, timed, recall.get(name)) for name, timing in timed.items()},
        "float32 to int8": timed["float32"].ratio_to(timed["int8"]),
        "float32 to int8, nearly exact": timed["float32"].ratio_to(timed["int8, nearly exact"]),
        "bytes": {"float32": rows.nbytes, **{kind: table.nbytes for kind, table in made.items()}},
        "seconds to make": cost,
        "new event": _event(rows, k),
    }


def _places(search: RowSearch | CompactSearch, k: int) -> Search:
    return lambda user: search.top(user, k).places


def _in_order(search: Search, users: Floats32) -> Callable[[], object]:
    following = cycle(users)
    return lambda: search(next(following))


def _recall(search: Search, users: Floats32, wanted: Sequence[set[int]]) -> float:
    found = [len(best & set(search(user).tolist())) / len(best) for user, best in zip(users, wanted, strict=True)]
    return float(np.mean(found))


def _plain_pass(rows: Floats32) -> Callable[[], object]:
    workers = BlockWorkers()

    def read(block: int) -> None:
        np.maximum.reduce(rows[block * PLAIN_ROWS : (block + 1) * PLAIN_ROWS].reshape(-1))

    return lambda: workers.run(-(-len(rows) // PLAIN_ROWS), read)


def _facts(timing: Timing, timed: Mapping[str, Timing], recall: float | None) -> dict[str, Any]:
    told = timing.facts() | {"to plain pass": timing.ratio_to(timed["plain pass"])}
    return told if recall is None else told | {"recall": recall}


def _event(rows: Floats32, k: int) -> dict[str, Any]:
    """What one more event costs a user of `HISTORY` events: the user's vector, and the list with it."""
    search = RowSearch(rows)
    user = HistorySum(rows, np.random.default_rng(1).integers(0, len(rows), HISTORY), recency=0.2)
    following = iter(np.random.default_rng(2).integers(0, len(rows), 10_000).tolist())

    def update() -> Floats32:
        user.add(next(following))
        return user.vector()

    timed = in_turn({"vector": update, "vector and list": lambda: search.top(update(), k, seen=user.seen())}, 0.2)
    return {name: timing.facts() for name, timing in timed.items()}
