"""The list of devices that may take part, signed with a key that the server does not hold.

Without it a server could invent devices, and a sum over one real device and many invented ones is no sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from fedrec.errors import ProtocolError
from fedrec.secagg import codec
from fedrec.secagg.codec import Reader
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.identity import ID_BYTES, SIGNATURE_BYTES, DeviceIdentity, verify

_KIND = 32
_LABEL = b"roster"
LARGEST = 1 << 20


@dataclass(frozen=True)
class Roster:
    """Device ids (32 bytes each) in ascending order, without repetition; a device's place in it is its number.

    ``version``: 0 to 2^64 - 1; a device takes no roster older than the newest it has seen (`newer`).

    Raises:
        ProtocolError: not sorted, an id twice, not 32 bytes, nobody, or more than 2^20 devices.
    """

    devices: tuple[bytes, ...]
    version: int = 1

    def __post_init__(self) -> None:
        if not 1 <= len(self.devices) <= LARGEST or not 0 <= self.version < 1 << 64:
            raise ProtocolError("a roster has 1 to 2^20 devices and a version", value=(len(self.devices), self.version))
        if any(len(device) != ID_BYTES for device in self.devices):
            raise ProtocolError(f"a device's id is {ID_BYTES} bytes", action="Take the ids that the devices print")
        if any(a >= b for a, b in zip(self.devices, self.devices[1:], strict=False)):
            raise ProtocolError("a roster's devices are not in ascending order, each once", action="Use Roster.of")

    @classmethod
    def of(cls, devices: Iterable[bytes], version: int = 1) -> Roster:
        """A roster of these ids in any order. Raises ProtocolError as the class does, so also for an id twice."""
        return cls(tuple(sorted(devices)), version)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 (32 bytes) of its canonical bytes: what a round is bound to."""
        return hashlib.sha256(self.to_bytes()).digest()

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {device: place for place, device in enumerate(self.devices)}

    def place(self, device: bytes) -> int:
        """A device's number. Raises RefusedError(STRANGER) for one that is not listed."""
        try:
            return self._places[device]
        except KeyError:
            action = "Have the device put in the roster"
            raise RefusedError(Reason.STRANGER, "no such device", value=device.hex()[:16], action=action) from None

    def device(self, place: int) -> bytes:
        """The id at a place. Raises RefusedError(STRANGER) beyond the roster."""
        if not 0 <= place < len(self.devices):
            raise RefusedError(Reason.STRANGER, "the roster has no such place", value=place)
        return self.devices[place]

    def to_bytes(self) -> bytes:
        """Canonical form, unsigned."""
        fields = (codec.header(_KIND), codec.number(self.version, 8), codec.number(len(self.devices), 4))
        return b"".join((*fields, *self.devices))

    @classmethod
    def from_bytes(cls, data: bytes) -> Roster:
        """Read `to_bytes`. Raises ProtocolError for anything it would not have written."""
        reader = Reader(data, "a roster")
        reader.header(_KIND)
        version = reader.number(8)
        devices = reader.items(ID_BYTES, reader.number(4))
        reader.end()
        return cls(devices, version)

    def sign(self, key: DeviceIdentity) -> bytes:
        """The roster with a signature by the roster key behind it, as it is handed out."""
        plain = self.to_bytes()
        return plain + key.sign(_LABEL, plain)

    @classmethod
    def verify(cls, data: bytes, public: bytes) -> Roster:
        """Read what `sign` gave. ``public``: the roster key (32 bytes) that the device was given with its software.

        Raises:
            RefusedError: the signature does not hold under that key.
            ProtocolError: it holds, but what it signs is no roster.
        """
        plain, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
        verify(public, _LABEL, plain, signature)
        return cls.from_bytes(plain)
