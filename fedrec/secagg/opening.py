"""What the server does with the devices' answers: open gates, then secrets, then remove the masks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import NDArray

from fedrec.errors import ProtocolError
from fedrec.secagg import codec, keys
from fedrec.secagg.errors import Reason, RoundAbortedError
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.masks import add_masks
from fedrec.secagg.messages import Unmask
from fedrec.secagg.recovery import FalseShares, SharedSecret, open_many
from fedrec.secagg.ring import Ring
from fedrec.secagg.sealed_shares import TAG_BYTES
from fedrec.secagg.shamir import SHARE_BYTES


@dataclass
class RoundRecords:
    """What the server knows of a round. Devices are named by their place in the cohort.

    ``commitments``: to own masks and gates.  ``receipts``: of those whose vector is in the sum, by slot of the sharers.
    """

    context: bytes = b""
    view: bytes = b""
    threshold: int = 0
    ids: list[bytes] = field(default_factory=list)
    mask_keys: list[bytes] = field(default_factory=list)
    graph: NeighbourGraph | None = None
    neighbours: list[tuple[int, ...]] = field(default_factory=list)
    sharers: frozenset[int] = frozenset()
    survivors: frozenset[int] = frozenset()
    commitments: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    receipts: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    answers: dict[int, Unmask] = field(default_factory=dict)

    def slots(self, place: int, among: Collection[int]) -> list[int]:
        """The slots of a device's neighbours that are among some devices."""
        return [slot for slot, neighbour in enumerate(self.neighbours[place]) if neighbour in among]

    def near(self, place: int, among: Collection[int]) -> int:
        """How many of a device's neighbours are among some devices."""
        return sum(neighbour in among for neighbour in self.neighbours[place])

    def check_answer(self, place: int, answer: Unmask) -> None:
        """That an answer is of the only form it can have. Raises RefusedError(MALFORMED)."""
        near = self.neighbours[place]
        gates = sum(near[slot] in self.survivors for slot in answer.slots)
        if not answer.slots <= set(self.slots(place, self.sharers)) or len(answer.gates) != gates:
            raise codec.malformed("an answer's shares do not fit the neighbours", len(answer.gates))
        if len(answer.sealed) != SHARE_BYTES * len(answer.slots) + TAG_BYTES:
            raise codec.malformed("an answer's sealed part has another length", len(answer.sealed))


SharesByHolder = dict[int, dict[int, bytes]]


def open_masks(records: RoundRecords, total: NDArray[Any], ring: Ring, workers: int) -> FalseShares:
    """Turn the sum of masked vectors into the sum of vectors, in place; returns whose shares did not fit.

    Raises:
        RoundAbortedError: SECRET_LOST or FALSE_SHARES, naming the devices whose secrets cannot be opened.
    """
    false_shares = FalseShares()
    gates = _open_gates(records, false_shares)
    own, lost = _inner_shares(records, gates, false_shares)
    signed = [(key, -1) for key in _own_masks(records, own, false_shares)]
    signed += _pair_masks(records, lost, false_shares)
    add_masks(total, signed, ring, workers)
    return false_shares


def _open_gates(records: RoundRecords, false_shares: FalseShares) -> dict[int, bytes]:
    """The gate's seed of everybody whose answer can be read."""
    shares: SharesByHolder = {}
    for place, answer in records.answers.items():
        near = records.neighbours[place]
        alive = [slot for slot in sorted(answer.slots) if near[slot] in records.survivors]
        for slot, share in zip(alive, answer.gates, strict=True):
            _put(records, shares, near[slot], slot, share)
    wanted = [place for place in sorted(records.answers) if len(shares.get(place, ())) >= records.threshold]
    return _secrets(records, {place: shares[place] for place in wanted}, 1, false_shares, must=False)


def _inner_shares(
    records: RoundRecords, gates: Mapping[int, bytes], false_shares: FalseShares
) -> tuple[SharesByHolder, SharesByHolder]:
    """What was behind the gates: shares of survivors' own masks, and of the mask keys of those that dropped out."""
    own: SharesByHolder = {}
    lost: SharesByHolder = {}
    for place, seed in gates.items():
        answer, near = records.answers[place], records.neighbours[place]
        try:
            opened = keys.open_gate(seed, records.ids[place], records.view, answer.sealed)
        except ProtocolError:
            false_shares.add(place, place)
            continue
        for at, slot in enumerate(sorted(answer.slots)):
            into = own if near[slot] in records.survivors else lost
            _put(records, into, near[slot], slot, opened[at * SHARE_BYTES : (at + 1) * SHARE_BYTES])
    return own, lost


def _own_masks(records: RoundRecords, own: SharesByHolder, false_shares: FalseShares) -> list[bytes]:
    wanted = {place: own.get(place, {}) for place in sorted(records.survivors)}
    return [keys.own_mask_key(seed, records.view) for seed in _secrets(records, wanted, 0, false_shares).values()]


def _pair_masks(records: RoundRecords, lost: SharesByHolder, false_shares: FalseShares) -> list[tuple[bytes, int]]:
    """For each device that dropped out, the masks that its surviving neighbours added for it, taken back."""
    wanted = {place: lost.get(place, {}) for place in sorted(records.sharers - records.survivors)}
    signed = []
    for place, seed in _secrets(records, wanted, None, false_shares).items():
        private, public = keys.mask_pair(seed)
        for neighbour in records.neighbours[place]:
            if neighbour in records.survivors:
                try:
                    key = keys.mask_key(private, public, records.mask_keys[neighbour], records.view)
                except ProtocolError:
                    raise _abort(records, Reason.FALSE_SHARES, "a device's key is of no use", [neighbour]) from None
                signed.append((key, -keys.sign(neighbour, place)))
    return signed


def _put(records: RoundRecords, shares: SharesByHolder, owner: int, slot: int, share: bytes) -> None:
    """File a share that the device in the owner's opposite slot holds; its point is that slot plus one."""
    assert records.graph is not None
    shares.setdefault(owner, {})[records.graph.back(slot) + 1] = share


def _secrets(
    records: RoundRecords,
    shares: SharesByHolder,
    commitment: int | None,
    false_shares: FalseShares,
    *,
    must: bool = True,
) -> dict[int, bytes]:
    """Open the secret of each device. ``commitment``: which it is checked against, or `None` for the mask's key."""
    few = [place for place, given in shares.items() if len(given) < records.threshold]
    if few:
        raise _abort(records, Reason.SECRET_LOST, "too few shares of a device's secret arrived", few)
    secrets = [
        SharedSecret(
            place,
            given,
            {point: records.neighbours[place][point - 1] for point in given},
            partial(_fits, records, place, commitment),
        )
        for place, given in shares.items()
    ]
    opened = dict(zip(shares, open_many(secrets, records.threshold, false_shares), strict=True))
    wrong = [place for place, secret in opened.items() if secret is None]
    if wrong and must:
        raise _abort(records, Reason.FALSE_SHARES, "the shares of a device's secret do not fit together", wrong)
    for place in wrong:
        false_shares.add(place, place)
    return {place: secret for place, secret in opened.items() if secret is not None}


def _fits(records: RoundRecords, place: int, commitment: int | None, secret: bytes) -> bool:
    if commitment is None:
        return keys.mask_pair(secret)[1] == records.mask_keys[place]
    make = keys.gate_commitment if commitment else keys.self_commitment
    return make(records.ids[place], records.context, secret) == records.commitments[place][commitment]


def _abort(records: RoundRecords, reason: Reason, what: str, places: list[int]) -> RoundAbortedError:
    return RoundAbortedError(reason, what, devices=[records.ids[place] for place in sorted(places)])
