"""Whether an export ranks as the device does: histories to try, the device's answers, and how far another's are off.

The histories are drawn from the catalogue, each item as likely, from a fixed seed: they are nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.client.ranker import Ranker
from fedrec.data.schema import Event
from fedrec.errors import ReleaseError
from fedrec.model.clock import clock
from fedrec.ranking.topk import top_k, without_seen
from fedrec.users import Histories

Floats32 = NDArray[np.float32]
TOP: Final = 10
TOLERANCE: Final = 1e-4
_LENGTHS: Final = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)
# Noon and four in the morning of a day, where the ranking reads the time.
_TIMES: Final = (43_200, 14_400)


@dataclass(frozen=True, eq=False)
class Probe:
    """A history and what the device makes of it: ``places`` int64 [n], oldest first; ``at``, seconds since 1970;
    ``scores`` float32 [items], what was met included; ``top``: the places of its list, best first."""

    places: NDArray[np.int64]
    at: int
    scores: Floats32
    top: NDArray[np.int64]

    @property
    def time(self) -> Floats32:
        """What a graph is told of the time: float32 [4]. No event of the history has one."""
        return np.concatenate([clock(np.array([self.at]))[0], np.zeros(2, dtype=np.float32)])


@dataclass(frozen=True)
class Parity:
    """How an export compares with the device. ``same``: of ``histories``, how many have the same first ten in the same
    order, but for items between whose scores the device has less than `TOLERANCE`; ``shared``: the part of their items
    that the lists have in common, 0 to 1; ``difference``: the largest difference between two scores of one item."""

    histories: int
    same: int
    shared: float
    difference: float

    @property
    def holds(self) -> bool:
        """Whether all lists are the same and all scores within `TOLERANCE`."""
        return self.same == self.histories and self.difference <= TOLERANCE

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "histories": self.histories,
            "same_top_10": self.same,
            "shared_top_10": self.shared,
            "largest_difference": self.difference,
        }


def probes_of(ranker: Ranker, *, longest: int, seed: int = 0) -> list[Probe]:
    """Histories of many lengths up to ``longest``, one of nothing among them, with the device's answers."""
    rng = np.random.default_rng(seed)
    items = len(ranker.ids)
    lengths = sorted({min(length, longest, max(0, items - TOP)) for length in (*_LENGTHS, longest)})
    return [
        _probe(ranker, rng.choice(items, size=length, replace=False), _TIMES[turn % len(_TIMES)])
        for turn, length in enumerate(lengths)
    ]


def top_of(scores: Floats32, places: NDArray[np.integer], order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The places of the ``count`` best items that are not in a history, best first; fewer where fewer are left."""
    found = top_k(without_seen(scores[None], Histories.of([places])), count, order=order)[0]
    return np.asarray(found[found >= 0], dtype=np.int64)


def compared(probes: Sequence[Probe], scores: Sequence[Floats32], order: NDArray[np.int64]) -> Parity:
    """Compare an export's scores [items] of each probe with the device's."""
    both = list(zip(probes, scores, strict=True))
    tops = [top_of(given, probe.places, order, TOP) for probe, given in both]
    same = sum(_alike(probe, top) for probe, top in zip(probes, tops, strict=True))
    shared = [np.isin(probe.top, top).mean() for probe, top in zip(probes, tops, strict=True) if len(probe.top)]
    apart = [float(np.abs(given - probe.scores).max()) for probe, given in both]
    return Parity(len(probes), same, float(np.mean(shared)) if shared else 1.0, max(apart, default=0.0))


def insist(parity: Parity, what: str) -> None:
    """Raise ReleaseError where an export does not rank as the device does."""
    if not parity.holds:
        raise ReleaseError(
            f"{what} does not rank as a device does: nothing was written",
            value=parity.facts(),
            action="Please report it, with the release's config.json",
        )


def _alike(probe: Probe, top: NDArray[np.int64]) -> bool:
    if len(top) != len(probe.top):
        return False
    apart = np.abs(probe.scores[top] - probe.scores[probe.top])
    return bool(np.all((top == probe.top) | (apart < TOLERANCE)))


def _probe(ranker: Ranker, places: NDArray[np.integer], at: int) -> Probe:
    known = ranker.known_of([Event(ranker.ids[place]) for place in places], at=at)
    scores = ranker.scorer.parts_of(known).total[0]
    return Probe(places.astype(np.int64), at, scores, top_of(scores, places, ranker.order, TOP))
