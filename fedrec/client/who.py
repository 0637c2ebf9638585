"""Who is on a device, for a person who named somebody that is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_USERS_NAMED: Final = 5


def who(users: Sequence[str]) -> str:
    """A sentence that names a few of the users and counts the others."""
    if not users:
        return "The store is empty: add events first"
    named = ", ".join(users[:_USERS_NAMED])
    more = len(users) - _USERS_NAMED
    return f"It has {len(users)} user{'s' if len(users) > 1 else ''}: {named}{f' and {more} more' if more > 0 else ''}"
