"""What a device makes of the cohort that the server shows it: its neighbours, worked out and checked by itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fedrec.secagg import codec, merkle
from fedrec.secagg.context import Agreed, cohort_context
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.messages import Advertise, Cohort
from fedrec.secagg.roster import Roster
from fedrec.secagg.thresholds import Thresholds

_WORTH_A_THREAD = 16  # signatures: a millisecond and a half; starting a thread for less costs more than it saves


@dataclass(frozen=True)
class Neighbourhood:
    """A device's place in a cohort of ``size``; neighbours by slot.

    ``place``, ``neighbours``: places in the cohort, which are in the roster's order.  ``ids``: the neighbours' public
    ids.  ``adverts``: what they signed.  ``context``: see `context.cohort_context`.
    """

    context: bytes
    size: int
    place: int
    threshold: int
    neighbours: tuple[int, ...]
    ids: tuple[bytes, ...]
    adverts: tuple[Advertise, ...]

    @property
    def degree(self) -> int:
        """Number of neighbours."""
        return len(self.neighbours)

    def slots(self, places: frozenset[int]) -> list[int]:
        """The slots of those neighbours that are among ``places``."""
        return [slot for slot, neighbour in enumerate(self.neighbours) if neighbour in places]


def read_cohort(
    data: bytes, own: Advertise, agreed: Agreed, roster: Roster, thresholds: Thresholds, workers: int = 1
) -> Neighbourhood:
    """Check all that a device can check, and find its neighbours.

    ``own``: what this device advertised.  The server has no say in who neighbours whom: everybody sorts the cohort by
    a hash over all keys and the whole context.  ``workers``: most threads for signatures.

    Raises:
        RefusedError: malformed; of another context; without this device; below a threshold; keys that are not under the
            root; a neighbour without the signature of a device of the roster in this very context.
    """
    cohort = Cohort.from_bytes(data, len(roster.devices))
    if cohort.agreed != agreed.digest:
        raise RefusedError(Reason.OTHER_CONTEXT, "the cohort was asked something else than this device")
    if own.device not in cohort.members:
        raise RefusedError(Reason.NOT_MEANT, "this device is not in the cohort that it is shown")
    members = sorted(cohort.members)
    size, degree = len(members), len(cohort.peers)
    thresholds.check_cohort(size, degree, cohort.threshold)
    place = members.index(own.device)
    merkle.check(cohort.root, size, place, merkle.leaf(own.body()), cohort.path)
    context = cohort_context(agreed.digest, cohort.members, cohort.places, cohort.root, degree, cohort.threshold)
    neighbours = NeighbourGraph(context, size, degree).neighbours(place)
    adverts = [
        Advertise(members[neighbour], peer.signature, agreed.digest, peer.mask_key, peer.box_key)
        for neighbour, peer in zip(neighbours, cohort.peers, strict=True)
    ]
    ids = tuple(roster.device(advert.device) for advert in adverts)
    _check_signatures(list(zip(adverts, ids, strict=True)), workers)
    for neighbour, advert, peer in zip(neighbours, adverts, cohort.peers, strict=True):
        merkle.check(cohort.root, size, neighbour, merkle.leaf(advert.body()), peer.path)
    return Neighbourhood(context, size, place, cohort.threshold, neighbours, ids, tuple(adverts))


def _check_signatures(signed: Sequence[tuple[Advertise, bytes]], workers: int) -> None:
    """Each of them, by its device's id. Raises RefusedError where one does not hold."""
    workers = max(1, min(workers, len(signed) // _WORTH_A_THREAD))

    def check(first: int) -> None:
        for advert, public in signed[first::workers]:
            advert.check(public)

    # The check of a signature lets other threads run; a pool starts none that it is given no work for.
    with ThreadPoolExecutor(workers) as pool:
        others = [pool.submit(check, first) for first in range(1, workers)]
        check(0)
    for other in others:
        other.result()


def check_list(places: frozenset[int], among: frozenset[int] | None, own: int, what: str) -> None:
    """That a list of participants holds this device and nobody it cannot hold. Raises RefusedError."""
    if own not in places:
        raise RefusedError(Reason.NOT_MEANT, f"this device is not among {what} that it is shown")
    if among is not None and not places <= among:
        raise codec.malformed(f"{what} were not all there before", len(places - among))
