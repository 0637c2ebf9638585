"""Fetch public files from the server: bounded, over TLS to the invite's authority, and believed by nobody for that."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import httpx

from fedrec.enrolment.invite import Invite
from fedrec.enrolment.public_paths import PREFIX
from fedrec.errors import ConfigError, ProtocolError
from fedrec.whole_files import cannot_write

_SECONDS: Final = 30.0


class PublicServer:
    """The server's public files. What comes is bytes that somebody sent: whoever calls holds them to a signature.

    Args:
        invite: where the server is, and which authority its certificate is held to.

    Raises:
        ConfigError: that authority is no certificate.
    """

    def __init__(self, invite: Invite) -> None:
        try:
            trusted = ssl.create_default_context(cadata=invite.authority)
        except (ssl.SSLError, ValueError):
            action = "Take a fresh invite from the publisher"
            raise ConfigError("the invite's authority is no certificate", value=invite.name, action=action) from None
        self._client = httpx.Client(
            base_url=f"https://{invite.address}", verify=trusted, trust_env=False, timeout=_SECONDS
        )

    def __enter__(self) -> PublicServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, *name: str, most: int) -> bytes | None:
        """A file of at most ``most`` bytes; None where there is none.

        Raises:
            ProtocolError: the server does not answer, or sends more.
        """
        parts: list[bytes] = []
        return b"".join(parts) if self._stream(name, most, parts.append) else None

    def save(self, *name: str, most: int, place: Path) -> None:
        """Write a file of at most ``most`` bytes to ``place``, which must not be there.

        Raises:
            ProtocolError: the server does not answer, has no such file, or sends more. StoreError: the disk refuses.
        """
        try:
            with place.open("xb") as file:
                if not self._stream(name, most, _into(file)):
                    raise ProtocolError("the server has no such file", value="/".join(name), action="Try again later")
        except OSError as error:
            raise cannot_write(place, error) from None

    def _stream(self, name: tuple[str, ...], most: int, take: Callable[[bytes], object]) -> bool:
        try:
            with self._client.stream("GET", PREFIX + "/".join(name)) as answer:
                if answer.status_code == 404:
                    return False
                if answer.status_code != 200:
                    raise ProtocolError("the server gives no file", value=answer.status_code, action="Try again later")
                got = 0
                for part in answer.iter_raw():
                    got += len(part)
                    if got > most:
                        action = "Do not trust this server; ask the publisher"
                        raise ProtocolError(
                            "the server sends more than was agreed", value="/".join(name), action=action
                        )
                    take(part)
        except httpx.HTTPError as error:
            raise ProtocolError(f"the server does not answer: {_why(error)}", action="Try again later") from None
        return True


def _into(file: BinaryIO) -> Callable[[bytes], object]:
    return file.write


def _why(error: httpx.HTTPError) -> str:
    """A wrong or expired certificate by its name; else the kind of failure."""
    text = str(error)
    return text if "CERTIFICATE" in text else type(error).__name__
