"""What every HTTP listener of this project holds requests to: where it may listen, its token, how much it reads."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fedrec.errors import ConfigError

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True)
class Refusal:
    """A request that is not answered: the HTTP status, what is wrong, and what to do."""

    status: int
    what: str
    action: str


def checked_token(variable: str, token: str | None) -> str | None:
    """The token that an environment variable holds, if it is long enough. Raises ConfigError."""
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{variable} is too short", action=f"Set {SHORTEST_TOKEN} characters or more, drawn by chance"
        )
    return token


def same_secret(given: str, expected: str) -> bool:
    """Whether they are equal; how long it takes does not say where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def bearer(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request has the header ``Authorization: Bearer TOKEN``."""
    return same_secret(headers.get("authorization", ""), f"Bearer {token}")


def body_refusal(headers: Mapping[str, str], most: int) -> Refusal | None:
    """Why a body is not read: it does not say its length, or is above ``most`` bytes."""
    length = headers.get("content-length", "")
    if not length.isascii() or not length.isdigit():
        return Refusal(411, "a request needs its length", "Send the header Content-Length")
    if int(length[:12]) > most:
        return Refusal(413, "a request is too large", f"Send at most {most:,} bytes")
    return None
