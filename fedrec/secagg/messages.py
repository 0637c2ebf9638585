"""What a device sends, as bytes: six messages, each with its signature over a hash of all before it.

Each starts with version and kind; numbers are big-endian; one meaning has one form, and anything else is refused.
Devices are named by their place in the roster, neighbours by their slot on the ring (see `graph`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from fedrec.secagg import codec
from fedrec.secagg.codec import Reader, header, number
from fedrec.secagg.context import DIGEST_BYTES
from fedrec.secagg.identity import SIGNATURE_BYTES, DeviceIdentity, verify
from fedrec.secagg.shamir import SHARE_BYTES
from fedrec.secagg.share_box import BOX_BYTES

Bytes = bytes | memoryview
KEY_BYTES = 32
RECEIPT_BYTES = 16


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

    def name(self, public: bytes) -> bytes:
        """Names the message with its signature under a key, 32 bytes: no two that differ have the same."""
        return hashlib.sha256(b"".join((public, self._digest(), self.signature, self.label))).digest()

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
class Shares(Signed):
    """Exchange 2: sealed shares for every neighbour that is there, by slot, and what an own mask is checked against."""

    kind = 3
    label = b"shares"
    context: bytes
    self_commitment: bytes
    boxes: tuple[bytes, ...]

    def parts(self) -> tuple[Bytes, ...]:
        fields = (self.context, number(self.device, 4), self.self_commitment)
        return header(self.kind), *fields, number(len(self.boxes), 4), *self.boxes

    @classmethod
    def from_bytes(cls, data: bytes) -> Shares:
        """Strict. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "shares")
        reader.header(cls.kind)
        context, device = reader.take(DIGEST_BYTES), reader.number(4)
        commitment = reader.take(DIGEST_BYTES)
        boxes = reader.items(BOX_BYTES, reader.number(4))
        signature = reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, context, commitment, boxes)


@dataclass(frozen=True)
class Complaints(Signed):
    """Exchange 3: whose boxes did not open, by slot; nobody's, as a rule."""

    kind = 5
    label = b"complaints"
    context: bytes
    degree: int
    slots: frozenset[int]

    def parts(self) -> tuple[Bytes, ...]:
        slots = codec.write_bitmap(self.slots, self.degree)
        return header(self.kind), self.context, number(self.device, 4), slots

    @classmethod
    def from_bytes(cls, data: bytes, degree: int) -> Complaints:
        """Strict. ``degree``: neighbours of a device. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "complaints")
        reader.header(cls.kind)
        context, device = reader.take(DIGEST_BYTES), reader.number(4)
        slots = reader.bitmap_of(degree)
        signature = reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, context, degree, slots)


@dataclass(frozen=True)
class Masked(Signed):
    """Exchange 4: the masked vector, packed, and a receipt for each neighbour in the view, by slot.

    A receipt tells the neighbour, through the server, that this device has masked under the very same view.
    """

    kind = 7
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
class Confirm(Signed):
    """Exchange 5, of the committee: the one list of survivors that this device stands for under its view.

    ``survivors``: see `context.survivors_digest`.
    """

    kind = 9
    label = b"confirm"
    view: bytes
    survivors: bytes

    def parts(self) -> tuple[Bytes, ...]:
        return header(self.kind), self.view, number(self.device, 4), self.survivors

    @classmethod
    def from_bytes(cls, data: bytes) -> Confirm:
        """Strict. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "a confirmation")
        reader.header(cls.kind)
        view, device, survivors = reader.take(DIGEST_BYTES), reader.number(4), reader.take(DIGEST_BYTES)
        signature = reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, view, survivors)


@dataclass(frozen=True)
class Unmask(Signed):
    """Exchange 6: one share of each neighbour whose shares the device holds, by slot.

    Of its own mask if it survived, of its mask key if it did not.
    """

    kind = 11
    label = b"unmask"
    view: bytes
    degree: int
    slots: frozenset[int]
    shares: tuple[bytes, ...]

    def parts(self) -> tuple[Bytes, ...]:
        fields = (self.view, number(self.device, 4), codec.write_bitmap(self.slots, self.degree))
        return header(self.kind), *fields, *self.shares

    @classmethod
    def from_bytes(cls, data: bytes, degree: int) -> Unmask:
        """Strict. ``degree``: neighbours of a device. Raises RefusedError(MALFORMED)."""
        reader = Reader(data, "an answer")
        reader.header(cls.kind)
        view, device, slots = reader.take(DIGEST_BYTES), reader.number(4), reader.bitmap_of(degree)
        shares = reader.items(SHARE_BYTES, len(slots))
        signature = reader.take(SIGNATURE_BYTES)
        reader.end()
        return cls(device, signature, view, degree, slots, shares)
