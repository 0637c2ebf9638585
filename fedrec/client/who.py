"""Who is on a device: for a person who named somebody that is not, or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fedrec.data.store import EventStore
from fedrec.errors import StoreError

DEFAULT_USER: Final = "me"
"""The name of whoever adds something to a store that knows nobody yet, and gives no name."""
_USERS_NAMED: Final = 5


def who(users: Sequence[str]) -> str:
    """A sentence that names a few of the users and counts the others."""
    if not users:
        return "The store is empty: add events first"
    named = ", ".join(users[:_USERS_NAMED])
    more = len(users) - _USERS_NAMED
    return f"It has {len(users)} user{'s' if len(users) > 1 else ''}: {named}{f' and {more} more' if more > 0 else ''}"


def chosen_user(store: EventStore, user: str | None) -> str:
    """The user of that name; for None the store's only one.

    Raises:
        StoreError: there is no such user, or none was named and there is not just one. The store cannot be read.
    """
    users = store.users()
    if user is None:
        if len(users) == 1:
            return users[0]
        what = "this device has several users: name one" if users else "this device has no user yet"
        raise StoreError(what, action=f"{who(users)}{'. Give --user' if users else ''}")
    if user not in users:
        raise StoreError("this device has no such user", value=user, action=who(users))
    return user


def user_in(file: Path, user: str | None) -> str:
    """The same of a store's file; a name that was given is not looked up. Raises StoreError."""
    if user is not None:
        return user
    with EventStore.open(file, check=False) as store:
        return chosen_user(store, None)


def adding_user(store: EventStore, user: str | None, *, new: bool = False) -> str:
    """Whoever adds something: as `chosen_user`, and in a store without users a first one, `DEFAULT_USER` unless named.

    ``new``: take a name that the store does not know for somebody new. Without it that is an error: a slip of the pen
    would begin another person, and a manifest may count one a device.

    Raises:
        StoreError: as `chosen_user`.
    """
    if not store.users() or (new and user is not None):
        return DEFAULT_USER if user is None else user
    try:
        return chosen_user(store, user)
    except StoreError as error:
        if user is None:
            raise
        raise StoreError(error.what, value=user, action=f"{error.action}. For somebody new, add --new-user") from None
