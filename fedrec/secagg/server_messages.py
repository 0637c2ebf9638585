"""What the server sends, as bytes: a cohort, boxes, a view, and a list of survivors without and with its signatures.

In the form of `messages`.  Nothing here is signed by the server: a device compares and checks it, and takes nothing on
its word.  Members of a view and survivors are named by their place among the eligible devices (see `assignment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from fedrec.secagg import codec
from fedrec.secagg.codec import Reader, header, number
from fedrec.secagg.context import DIGEST_BYTES
from fedrec.secagg.identity import SIGNATURE_BYTES
from fedrec.secagg.messages import KEY_BYTES, RECEIPT_BYTES
from fedrec.secagg.share_box import BOX_BYTES

_PEER_BYTES = 2 * KEY_BYTES + SIGNATURE_BYTES


@dataclass(frozen=True)
class Peer:
    """A neighbour's advertisement, without what the device knows already."""

    mask_key: bytes
    box_key: bytes
    signature: bytes

    @cached_property
    def encoded(self) -> bytes:
        """Its part of a cohort's bytes: made once, for all devices that it is a neighbour of."""
        return b"".join((self.mask_key, self.box_key, self.signature))


@dataclass(frozen=True)
class Cohort:
    """Exchange 1, back: who takes part (places in the roster), and the keys of the neighbours among them, by slot."""

    kind: ClassVar[int] = 2
    agreed: bytes
    places: int
    members: frozenset[int]
    degree: int
    threshold: int
    peers: tuple[Peer, ...]

    def to_bytes(self, bitmap: bytes = b"") -> bytes:
        """The message as it travels. ``bitmap``: of the members, if it is at hand (`codec.write_bitmap`)."""
        parts = [header(self.kind), self.agreed, bitmap or codec.write_bitmap(self.members, self.places)]
        parts += [number(self.degree, 4), number(self.threshold, 4), number(len(self.peers), 4)]
        return b"".join((*parts, *(peer.encoded for peer in self.peers)))

    @classmethod
    def from_bytes(cls, data: bytes, places: int) -> Cohort:
        """Strict. ``places``: the roster's length. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "a cohort")
        reader.header(cls.kind)
        agreed, members = reader.take(DIGEST_BYTES), reader.bitmap_of(places)
        degree, threshold = reader.number(4), reader.number(4)
        peers = reader.items(_PEER_BYTES, reader.number(4))
        reader.end()
        cuts = KEY_BYTES, 2 * KEY_BYTES
        return cls(
            agreed,
            places,
            members,
            degree,
            threshold,
            tuple(Peer(peer[: cuts[0]], peer[cuts[0] : cuts[1]], peer[cuts[1] :]) for peer in peers),
        )


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
        """Strict. ``size``: of the eligible. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "an inbox")
        reader.header(cls.kind)
        context, sharers = reader.take(DIGEST_BYTES), reader.bitmap_of(size)
        boxes = reader.items(BOX_BYTES, reader.number(4))
        reader.end()
        return cls(context, size, sharers, boxes)


@dataclass(frozen=True)
class View:
    """Exchange 3, back: who goes on to send a vector: those that shared, without those that were left out."""

    kind: ClassVar[int] = 6
    context: bytes
    size: int
    members: frozenset[int]

    def to_bytes(self) -> bytes:
        """The message as it travels: the same for all devices."""
        return _write_members(self.kind, self.context, self.members, self.size)

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> View:
        """Strict. ``size``: of the eligible. Raises RefusedError(MALFORMED)."""
        context, members = _read_members(cls.kind, data, size, "a view")
        return cls(context, size, members)


@dataclass(frozen=True)
class Survivors:
    """Exchange 4, back, to the committee: whose vectors are in the sum."""

    kind: ClassVar[int] = 8
    view: bytes
    size: int
    survivors: frozenset[int]

    def to_bytes(self) -> bytes:
        """The message as it travels: the same for all devices."""
        return _write_members(self.kind, self.view, self.survivors, self.size)

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Survivors:
        """Strict. ``size``: of the eligible. Raises RefusedError(MALFORMED)."""
        view, survivors = _read_members(cls.kind, data, size, "a list of survivors")
        return cls(view, size, survivors)


@dataclass(frozen=True)
class Certificate:
    """Exchange 5, back: whose vectors are in the sum, who of the committee signed that, and neighbours' receipts.

    ``signatures``: of the ``signers``, in ascending order, each over `messages.Confirm`.  ``receipts``: of the
    neighbours among the survivors, by slot.
    """

    kind: ClassVar[int] = 10
    view: bytes
    size: int
    survivors: frozenset[int]
    signers: frozenset[int]
    signatures: tuple[bytes, ...]
    receipts: tuple[bytes, ...]

    def to_bytes(self, front: bytes = b"") -> bytes:
        """The message as it travels. ``front``: what `front` gives, if it is at hand."""
        return b"".join((front or self.front(), number(len(self.receipts), 4), *self.receipts))

    def front(self) -> bytes:
        """All but the receipts: the same for all devices."""
        survivors, signers = (codec.write_bitmap(places, self.size) for places in (self.survivors, self.signers))
        return b"".join((header(self.kind), self.view, survivors, signers, *self.signatures))

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Certificate:
        """Strict. ``size``: of the eligible. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "a certificate")
        reader.header(cls.kind)
        view, survivors, signers = reader.take(DIGEST_BYTES), reader.bitmap_of(size), reader.bitmap_of(size)
        signatures = reader.items(SIGNATURE_BYTES, len(signers))
        receipts = reader.items(RECEIPT_BYTES, reader.number(4))
        reader.end()
        return cls(view, size, survivors, signers, signatures, receipts)


def _write_members(kind: int, context: bytes, members: frozenset[int], size: int) -> bytes:
    """A message that says who of ``size`` devices is there, in one context; the same for all of them."""
    return b"".join((header(kind), context, codec.write_bitmap(members, size)))


def _read_members(kind: int, data: bytes, size: int, what: str) -> tuple[bytes, frozenset[int]]:
    """The inverse: context and members. Raises RefusedError(MALFORMED)."""
    reader = Reader(data, what)
    reader.header(kind)
    context, members = reader.take(DIGEST_BYTES), reader.bitmap_of(size)
    reader.end()
    return context, members
