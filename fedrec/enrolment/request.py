"""The request to be enrolled: a device's public keys, and a proof that whoever made it holds the secret ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import Field

from fedrec.config.base import Settings
from fedrec.enrolment.documents import read_document
from fedrec.enrolment.invite import Hex32
from fedrec.errors import ProtocolError
from fedrec.release import canonical
from fedrec.secagg.identity import DeviceIdentity, verify
from fedrec.whole_files import PUBLIC, write_whole

FORMAT: Final = "fedrec enrolment request 1"
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_LABEL: Final = b"enrolment request"
_AGAIN: Final = "Have the device write it again: fedrec device init"
DeviceName = Annotated[str, Field(pattern=NAME)]


class EnrolmentRequest(Settings):
    """``name``: what people call the device; no server is told it.  ``identity``: its public id in the roster.
    ``node_key``: its SuperNode's public key, as OpenSSH writes it.  ``publisher``: whom it believes.  ``proof``: the
    identity's signature of all else, so that a node's key is not put under another device's identity."""

    format: Literal["fedrec enrolment request 1"] = FORMAT
    name: DeviceName
    identity: Hex32
    node_key: str = Field(max_length=1024)
    publisher: Hex32
    proof: str = Field(default="0" * 128, pattern=r"^[0-9a-f]{128}$")

    @classmethod
    def signed(cls, name: str, identity: DeviceIdentity, node_key: str, publisher: bytes) -> EnrolmentRequest:
        """A request of the device with this identity."""
        made = cls(name=name, identity=identity.public.hex(), node_key=node_key.strip(), publisher=publisher.hex())
        return made.model_copy(update={"proof": identity.sign(_LABEL, made._said()).hex()})

    def check(self, publisher: bytes) -> None:
        """Hold a request to what it says.

        Raises:
            ProtocolError: it is for another publisher, holds no usable key, or the identity did not sign it.
        """
        if self.publisher != publisher.hex():
            action = "Give the device this publisher's invite"
            raise ProtocolError("the request is for another publisher", value=self.publisher[:16], action=action)
        read_node_key(self.node_key)
        verify(bytes.fromhex(self.identity), _LABEL, self._said(), bytes.fromhex(self.proof))

    def write(self, path: Path) -> None:
        """Write it, for anybody to read. Raises StoreError."""
        write_whole(path, (self.model_dump_json(indent=2) + "\n").encode(), mode=PUBLIC)

    def _said(self) -> bytes:
        return canonical.encode(self.model_dump(mode="json", exclude={"proof"}), what="the request")


def read_request(path: Path, publisher: bytes) -> EnrolmentRequest:
    """The request in a file, if its device made it for this publisher.

    Raises:
        ConfigError: the file cannot be read. ProtocolError: it is no request, or not to be believed.
    """
    found = read_document(path, EnrolmentRequest, "enrolment request")
    found.check(publisher)
    return found


def read_node_key(text: str) -> ec.EllipticCurvePublicKey:
    """A SuperNode's public key in OpenSSH's format. Raises ProtocolError where it is none of curve P-384."""
    try:
        key = load_ssh_public_key(text.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise ProtocolError("a request holds no node key that can be read", action=_AGAIN) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ProtocolError("a node's key is of curve P-384", value=type(key).__name__, action=_AGAIN)
    return key
