"""What a device makes of the cohort that the server shows it: its neighbours, worked out and checked by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fedrec.errors import ProtocolError
from fedrec.secagg import codec, keys
from fedrec.secagg.agreement import PrivateKey
from fedrec.secagg.assignment import Assignment, assign
from fedrec.secagg.context import Agreed, cohort_context
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import Advertise, Signed
from fedrec.secagg.parameters import GraphParameters
from fedrec.secagg.roster import Roster
from fedrec.secagg.server_messages import Cohort
from fedrec.secagg.signature_memory import SignatureMemory
from fedrec.secagg.thresholds import Thresholds

_WORTH_A_THREAD = 16  # signatures: a millisecond and a half; starting a thread for less costs more than it saves


@dataclass(frozen=True)
class Neighbourhood:
    """A device's place among the eligible devices of a round, and its neighbours, by slot.

    ``place``, ``neighbours``: places among the eligible.  ``members``: who of them is in the cohort.  ``ids``: public
    ids of the neighbours in the cohort.  ``adverts``: what these signed.  ``context``: see `context.cohort_context`.
    """

    context: bytes
    assignment: Assignment
    place: int
    members: frozenset[int]
    neighbours: tuple[int, ...]
    ids: Mapping[int, bytes]
    adverts: Mapping[int, Advertise]

    @property
    def size(self) -> int:
        """Number of eligible devices."""
        return self.assignment.size

    @property
    def degree(self) -> int:
        """Number of neighbours, there or not."""
        return len(self.neighbours)

    @property
    def threshold(self) -> int:
        """Shares that open a secret."""
        return self.assignment.parameters.threshold

    def slots(self, places: frozenset[int]) -> list[int]:
        """The slots of those neighbours that are among ``places``."""
        return [slot for slot, neighbour in enumerate(self.neighbours) if neighbour in places]


def read_cohort(
    data: bytes,
    own: Advertise,
    agreed: Agreed,
    roster: Roster,
    thresholds: Thresholds,
    workers: int = 1,
    *,
    stored: bool = False,
    memory: SignatureMemory | None = None,
) -> Neighbourhood:
    """Check all that a device can check, and find its neighbours.

    ``own``: what this device advertised.  The server has no say in who neighbours whom, and in neighbours and threshold
    (see `assignment`); what it shows of them is compared.  ``workers``: most threads for signatures.  ``stored``: it
    comes from this device's own store, where it was put after its signatures had been checked.  ``memory``: of
    signatures that this process has checked already.

    Raises:
        RefusedError: malformed; of another context; without this device, or with one that is not eligible; below a
            threshold; with too few of its neighbours; a neighbour without the signature of a device of the roster in
            this very context.
    """
    cohort = Cohort.from_bytes(data, len(roster.devices))
    if cohort.agreed != agreed.digest:
        raise RefusedError(Reason.OTHER_CONTEXT, "the cohort was asked something else than this device")
    if own.device not in cohort.members:
        raise RefusedError(Reason.NOT_MEANT, "this device is not in the cohort that it is shown")
    eligible = len(cohort.members) if agreed.eligible is None else len(agreed.eligible)
    thresholds.check_cohort(len(cohort.members), eligible)
    assignment = assign(agreed, cohort.members, thresholds)
    place, members = assignment.place(own.device), assignment.places(cohort.members)
    if place is None or members is None:
        raise RefusedError(Reason.NOT_MEANT, "a device is in the cohort that this sum is not asked of")
    parameters = assignment.parameters
    if GraphParameters(cohort.degree, cohort.threshold) != parameters:
        what = f"neighbours and threshold follow from the devices asked: they are {parameters}"
        raise RefusedError(Reason.WEAK_PARAMETERS, what, value=(cohort.degree, cohort.threshold))
    neighbours = assignment.graph.neighbours(place)
    present = [slot for slot, neighbour in enumerate(neighbours) if neighbour in members]
    if len(present) < parameters.threshold:
        raise RefusedError(Reason.SMALL_COHORT, "too few of this device's neighbours are there", value=len(present))
    if len(cohort.peers) != len(present):
        raise codec.malformed("keys do not fit the neighbours that are there", len(cohort.peers))
    adverts = {
        slot: Advertise(
            assignment.eligible[neighbours[slot]], peer.signature, agreed.digest, peer.mask_key, peer.box_key
        )
        for slot, peer in zip(present, cohort.peers, strict=True)
    }
    ids = {slot: roster.device(advert.device) for slot, advert in adverts.items()}
    if not stored:
        check_signatures([(adverts[slot], ids[slot]) for slot in present], workers, memory)
    context = cohort_context(agreed.digest, members, assignment.size, parameters.degree, parameters.threshold)
    return Neighbourhood(context, assignment, place, members, neighbours, ids, adverts)


def check_signatures(
    signed: Sequence[tuple[Signed, bytes]], workers: int, memory: SignatureMemory | None = None
) -> None:
    """Each message's, by its device's id. Raises RefusedError where one does not hold."""
    if memory is not None:
        for message, public in signed:
            memory.check(message, public)
        return
    workers = max(1, min(workers, len(signed) // _WORTH_A_THREAD))

    def check(first: int) -> None:
        for message, public in signed[first::workers]:
            message.check(public)

    # The check of a signature lets other threads run; a pool starts none that it is given no work for.
    with ThreadPoolExecutor(workers) as pool:
        others = [pool.submit(check, first) for first in range(1, workers)]
        check(0)
    for other in others:
        other.result()


def box_keys(near: Neighbourhood, private: PrivateKey, public: bytes) -> dict[int, bytes]:
    """The keys of boxes and receipts that a device has with its neighbours, by slot, from its own pair.

    Raises:
        RefusedError: MALFORMED, nothing can be agreed with a neighbour's key.
    """
    try:
        return {
            slot: keys.box_key(private, public, advert.box_key, near.context) for slot, advert in near.adverts.items()
        }
    except ProtocolError as error:
        raise RefusedError(Reason.MALFORMED, error.what, value=error.value) from None


def check_list(places: frozenset[int], among: frozenset[int], own: int, what: str) -> None:
    """That a list of participants holds this device and nobody it cannot hold. Raises RefusedError."""
    if own not in places:
        raise RefusedError(Reason.NOT_MEANT, f"this device is not among {what} that it is shown")
    if not places <= among:
        raise codec.malformed(f"{what} were not all there before", len(places - among))
