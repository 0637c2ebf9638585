"""The protocol's messages as bytes: four from a device to the server, three back.

Each starts with version and kind; numbers are big-endian; one meaning has one form, and anything else is refused.
What a device sends ends in its signature over a hash of all before it.  Devices are named by their place in the roster,
neighbours by their slot on the ring (see `graph`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

from fedrec.secagg import codec
from fedrec.secagg.codec import Reader, header, number, prefixed
from fedrec.secagg.context import DIGEST_BYTES
from fedrec.secagg.identity import SIGNATURE_BYTES, DeviceIdentity, verify
from fedrec.secagg.merkle import HASH_BYTES
from fedrec.secagg.sealed_shares import TAG_BYTES
from fedrec.secagg.shamir import SHARE_BYTES

Bytes = bytes | memoryview
KEY_BYTES = 32
RECEIPT_BYTES = 16
# Shares of a device's three secrets for one neighbour: its mask key's seed, its own mask's seed, its gate's.
BOX_BYTES = 3 * SHARE_BYTES + TAG_BYTES


@dataclass(frozen=True)
class Signed:
    """What all messages of a device have. ``device``: place in the roster."""

    kind: ClassVar[int]
    label: ClassVar[bytes]
    device: int
    signature: bytes

    def parts(self) -> tuple[Bytes, ...]:
        """All but the signature, in pieces."""
        raise NotImplementedError

    def body(self) -> bytes:
        """All but the signature."""
        return b"".join(self.parts())

    def to_bytes(self) -> bytes:
        """The message as it travels."""
        return b"".join((*self.parts(), self.signature))

    def signed(self, identity: DeviceIdentity) -> Self:
        """The same message with this device's signature."""
        return replace(self, signature=identity.sign(self.label, self._digest()))

    def check(self, public: bytes) -> None:
        """That the signature is the named device's. Raises RefusedError(BAD_SIGNATURE)."""
        verify(public, self.label, self._digest(), self.signature)

    def _digest(self) -> bytes:
        digest = hashlib.sha256()
        for part in self.parts():
            digest.update(part)
        return digest.digest()


@dataclass(frozen=True)
class Advertise(Signed):
    """Exchange 1: a device's fresh X25519 public keys, for masks and for boxes, in what was agreed."""

    kind = 1
    label = b"advertise"
    agreed: bytes
    mask_key: bytes
    box_key: bytes

    def parts(self) -> tuple[Bytes, ...]:
        return header(self.kind), self.agreed, number(self.device, 4), self.mask_key, self.box_key

    @classmethod
    def from_bytes(cls, data: bytes) -> Advertise:
        """Strict. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "an advertisement")
        reader.header(cls.kind)
        agreed, device = reader.take(DIGEST_BYTES), reader.number(4)
        mask_key, box_key, signature = reader.take(KEY_BYTES), reader.take(KEY_BYTES), reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, agreed, mask_key, box_key)


@dataclass(frozen=True)
class Peer:
    """A neighbour's advertisement, without what the device knows already, and its path in the Merkle tree."""

    mask_key: bytes
    box_key: bytes
    signature: bytes
    path: tuple[bytes, ...]

    @cached_property
    def encoded(self) -> bytes:
        """Its part of a cohort's bytes: made once, for all devices that it is a neighbour of."""
        return b"".join((self.mask_key, self.box_key, self.signature, _path(self.path)))


@dataclass(frozen=True)
class Cohort:
    """Exchange 1, back: who takes part (places in the roster), the root over all keys, neighbours by slot."""

    kind: ClassVar[int] = 2
    agreed: bytes
    places: int
    members: frozenset[int]
    root: bytes
    threshold: int
    path: tuple[bytes, ...]
    peers: tuple[Peer, ...]

    def to_bytes(self, bitmap: bytes = b"") -> bytes:
        """The message as it travels. ``bitmap``: of the members, if it is at hand (`codec.write_bitmap`)."""
        parts = [header(self.kind), self.agreed, bitmap or codec.write_bitmap(self.members, self.places), self.root]
        parts += [number(self.threshold, 4), _path(self.path), number(len(self.peers), 4)]
        return b"".join((*parts, *(peer.encoded for peer in self.peers)))

    @classmethod
    def from_bytes(cls, data: bytes, places: int) -> Cohort:
        """Strict. ``places``: the roster's length. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "a cohort")
        reader.header(cls.kind)
        agreed, size = reader.take(DIGEST_BYTES), reader.number(4)
        if size != places:
            raise codec.malformed("a cohort is of another roster", size)
        members = codec.read_bitmap(reader.take((size + 7) // 8), size, "a cohort")
        root, threshold, path = reader.take(HASH_BYTES), reader.number(4), _read_path(reader)
        peers = []
        for _ in range(reader.number(4)):
            keys = reader.take(KEY_BYTES), reader.take(KEY_BYTES), reader.take(SIGNATURE_BYTES)
            peers.append(Peer(*keys, _read_path(reader)))
        reader.end()
        return cls(agreed, places, members, root, threshold, path, tuple(peers))


@dataclass(frozen=True)
class Shares(Signed):
    """Exchange 2: sealed shares for every neighbour, by slot, and what opened secrets will be checked against."""

    kind = 3
    label = b"shares"
    context: bytes
    self_commitment: bytes
    gate_commitment: bytes
    boxes: tuple[bytes, ...]

    def parts(self) -> tuple[Bytes, ...]:
        fields = (self.context, number(self.device, 4), self.self_commitment, self.gate_commitment)
        return header(self.kind), *fields, number(len(self.boxes), 4), *self.boxes

    @classmethod
    def from_bytes(cls, data: bytes) -> Shares:
        """Strict. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "shares")
        reader.header(cls.kind)
        context, device = reader.take(DIGEST_BYTES), reader.number(4)
        commitments = reader.take(DIGEST_BYTES), reader.take(DIGEST_BYTES)
        boxes = reader.items(BOX_BYTES, reader.number(4))
        signature = reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, context, *commitments, boxes)


@dataclass(frozen=True)
class Inbox:
    """Exchange 2, back: who of the cohort has shared its secrets; the boxes of the neighbours among them, by slot."""

    kind: ClassVar[int] = 4
    context: bytes
    size: int
    sharers: frozenset[int]
    boxes: tuple[bytes, ...]

    def to_bytes(self, bitmap: bytes = b"") -> bytes:
        """The message as it travels. ``bitmap``: of the sharers, if it is at hand (`codec.write_bitmap`)."""
        sharers = bitmap or codec.write_bitmap(self.sharers, self.size)
        return b"".join((header(self.kind), self.context, sharers, number(len(self.boxes), 4), *self.boxes))

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Inbox:
        """Strict. ``size``: the cohort's. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "an inbox")
        reader.header(cls.kind)
        context, found = reader.take(DIGEST_BYTES), reader.number(4)
        if found != size:
            raise codec.malformed("an inbox is of another cohort", found)
        sharers = codec.read_bitmap(reader.take((size + 7) // 8), size, "an inbox")
        boxes = reader.items(BOX_BYTES, reader.number(4))
        reader.end()
        return cls(context, size, sharers, boxes)


@dataclass(frozen=True)
class Masked(Signed):
    """Exchange 3: the masked vector, packed, and a receipt for each neighbour in the view, by slot.

    A receipt tells the neighbour, through the server, that this device has masked under the very same view.
    """

    kind = 5
    label = b"masked"
    view: bytes
    receipts: tuple[bytes, ...]
    packed: Bytes

    def parts(self) -> tuple[Bytes, ...]:
        fields = (self.view, number(self.device, 4), number(len(self.receipts), 4), *self.receipts)
        return header(self.kind), *fields, number(len(self.packed), 4), self.packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Masked:
        """Strict. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "a masked vector")
        reader.header(cls.kind)
        view, device = reader.take(DIGEST_BYTES), reader.number(4)
        receipts = reader.items(RECEIPT_BYTES, reader.number(4))
        packed, signature = reader.part(reader.number(4)), reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, view, receipts, packed)


@dataclass(frozen=True)
class Survivors:
    """Exchange 3, back: whose vectors are in the sum, and the receipts of those who are neighbours, by slot."""

    kind: ClassVar[int] = 6
    view: bytes
    size: int
    survivors: frozenset[int]
    receipts: tuple[bytes, ...]

    def to_bytes(self, bitmap: bytes = b"") -> bytes:
        """The message as it travels. ``bitmap``: of the survivors, if it is at hand (`codec.write_bitmap`)."""
        survivors = bitmap or codec.write_bitmap(self.survivors, self.size)
        return b"".join((header(self.kind), self.view, survivors, number(len(self.receipts), 4), *self.receipts))

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Survivors:
        """Strict. ``size``: the cohort's. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "a list of survivors")
        reader.header(cls.kind)
        view, found = reader.take(DIGEST_BYTES), reader.number(4)
        if found != size:
            raise codec.malformed("a list of survivors is of another cohort", found)
        survivors = codec.read_bitmap(reader.take((size + 7) // 8), size, "a list of survivors")
        receipts = reader.items(RECEIPT_BYTES, reader.number(4))
        reader.end()
        return cls(view, size, survivors, receipts)


@dataclass(frozen=True)
class Unmask(Signed):
    """Exchange 4: shares of survivors' gates, and behind this device's own gate one share of each neighbour.

    ``slots``: whose shares the device holds.  ``gates``: for the survivors among them, in the order of slots.
    ``sealed``: for each of them a share of its own mask if it survived, of its mask key if it did not.
    """

    kind = 7
    label = b"unmask"
    view: bytes
    degree: int
    slots: frozenset[int]
    gates: tuple[bytes, ...]
    sealed: bytes

    def parts(self) -> tuple[Bytes, ...]:
        fields = (self.view, number(self.device, 4), codec.write_bitmap(self.slots, self.degree))
        return header(self.kind), *fields, number(len(self.gates), 4), *self.gates, prefixed(self.sealed, 4)

    @classmethod
    def from_bytes(cls, data: bytes, degree: int) -> Unmask:
        """Strict. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "an answer")
        reader.header(cls.kind)
        view, device, found = reader.take(DIGEST_BYTES), reader.number(4), reader.number(4)
        if found != degree:
            raise codec.malformed("an answer is of another number of neighbours", found)
        slots = codec.read_bitmap(reader.take((degree + 7) // 8), degree, "an answer")
        gates = reader.items(SHARE_BYTES, reader.number(4))
        sealed, signature = reader.prefixed(4), reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, view, degree, slots, gates, sealed)


def _path(hashes: tuple[bytes, ...]) -> bytes:
    return number(len(hashes), 1) + b"".join(hashes)


def _read_path(reader: Reader) -> tuple[bytes, ...]:
    return reader.items(HASH_BYTES, reader.number(1))
