"""What a device makes of the cohort that the server shows it: its neighbours, worked out and checked by itself."""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.secagg import codec, merkle
from fedrec.secagg.context import Agreed, cohort_context
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.floors import Floors
from fedrec.secagg.graph import Graph
from fedrec.secagg.messages import Advertise, Cohort
from fedrec.secagg.roster import Roster


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


def read_cohort(data: bytes, own: Advertise, agreed: Agreed, roster: Roster, floors: Floors) -> Neighbourhood:
    """Check all that a device can check, and find its neighbours.

    ``own``: what this device advertised.  The server has no say in who neighbours whom: everybody sorts the cohort by
    a hash over all keys and the whole context.

    Raises:
        RefusedError: malformed; of another context; without this device; below a floor; keys that are not under the
            root; a neighbour without the signature of a device of the roster in this very context.
    """
    cohort = Cohort.from_bytes(data, len(roster.devices))
    if cohort.agreed != agreed.digest:
        raise RefusedError(Reason.OTHER_CONTEXT, "the cohort was asked something else than this device")
    if own.device not in cohort.members:
        raise RefusedError(Reason.NOT_MEANT, "this device is not in the cohort that it is shown")
    members = sorted(cohort.members)
    size, degree = len(members), len(cohort.peers)
    floors.check_cohort(size, degree, cohort.threshold)
    place = members.index(own.device)
    merkle.check(cohort.root, size, place, merkle.leaf(own.body()), cohort.path)
    context = cohort_context(agreed.digest, cohort.members, cohort.places, cohort.root, degree, cohort.threshold)
    neighbours = Graph(context, size, degree).neighbours(place)
    adverts = []
    for neighbour, peer in zip(neighbours, cohort.peers, strict=True):
        device = members[neighbour]
        advert = Advertise(device, peer.signature, agreed.digest, peer.mask_key, peer.box_key)
        advert.check(roster.device(device))
        merkle.check(cohort.root, size, neighbour, merkle.leaf(advert.body()), peer.path)
        adverts.append(advert)
    ids = tuple(roster.device(advert.device) for advert in adverts)
    return Neighbourhood(context, size, place, cohort.threshold, neighbours, ids, tuple(adverts))


def check_list(places: frozenset[int], among: frozenset[int] | None, own: int, what: str) -> None:
    """That a list of participants holds this device and nobody it cannot hold. Raises RefusedError."""
    if own not in places:
        raise RefusedError(Reason.NOT_MEANT, f"this device is not among {what} that it is shown")
    if among is not None and not places <= among:
        raise codec.malformed(f"{what} were not all there before", len(places - among))
