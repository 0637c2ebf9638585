"""What a person adds on their own device: an event, a note, a photo, each checked before it is kept.

A release is what items are checked against.  A store may well be ahead of it, or behind: an item that it does not know
is kept where that is asked for, counts nothing until a release knows it, and is never lost.
"""

from __future__ import annotations

import difflib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from fedrec.data.event_times import DATES, in_seconds, unit_of
from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store import EventStore
from fedrec.errors import ContentError, StoreError

LONGEST_NOTE: Final = 1_000_000
"""Bytes of UTF-8: as much of a note as data sets may have."""
_AHEAD: Final = 86_400
_COMPARED: Final = 200_000
_NAMED: Final = 3


@dataclass(frozen=True)
class KnownItems:
    """The items of a release: ``ids`` and ``titles``, in one order."""

    ids: Sequence[str]
    titles: Sequence[str]

    def find(self, words: str) -> str | None:
        """The id that ``words`` are: an id, or a title (in any case) that one item alone has; None where neither."""
        if words in self.ids:
            return words
        folded = words.strip().casefold()
        titled = [id for id, title in zip(self.ids, self.titles, strict=True) if title.casefold() == folded]
        return titled[0] if folded and len(titled) == 1 else None

    def like(self, words: str) -> list[str]:
        """Ids whose id or title is most like ``words``, at most three, the likest first; of a large catalogue the first
        200,000 items are compared."""
        names: dict[str, str] = {}
        for id, title in islice(zip(self.ids, self.titles, strict=True), _COMPARED):
            names.setdefault(title.casefold(), id)
            names.setdefault(id.casefold(), id)
        close = difflib.get_close_matches(words.strip().casefold(), names, n=_NAMED)
        return list(dict.fromkeys(names[name] for name in close))


def add_event(
    store: EventStore,
    user: str,
    item: str,
    *,
    at: int | None = None,
    rating: float | None = None,
    items: KnownItems | None = None,
) -> Event | None:
    """Keep that a user met an item.

    Args:
        store: the device's.
        user: who; begun where the store does not know them, see `fedrec.client.who.adding_user`.
        item: its id, or a title that one of ``items`` alone has.
        at: when, seconds since 1970, UTC; None = now.
        rating: any finite number, or None.
        items: what there is; None = every id is taken as it is.

    Returns:
        The event; None where the store has the same one already.

    Raises:
        ContentError: there is no such item; says what is like it. StoreError: a time or a rating that cannot be, or the
            store cannot be written.
    """
    found = item if items is None else items.find(item)
    if found is None and items is not None:
        like = items.like(item)
        action = f"Did you mean {' or '.join(like)}?" if like else "Look it up: fedrec recommend --query WORDS"
        raise ContentError("the release has no such item", value=item, action=action)
    event = Event(str(found), now() if at is None else at, rating)
    _check_time(event.timestamp)
    return event if store.add_events(user, [event]) else None


def add_note(store: EventStore, user: str, text: str, *, at: int | None = None) -> Note:
    """Keep a text of a user's own. ``at``: as in `add_event`.

    Raises:
        ContentError: it says nothing, or is longer than `LONGEST_NOTE`. StoreError: as `add_event`.
    """
    if not text.strip():
        raise ContentError("the note is empty", action="Give it a text")
    length = len(text.encode("utf-8", errors="replace"))
    if length > LONGEST_NOTE:
        raise ContentError("the note is too long", value=f"{length:,} bytes", action=f"Keep it below {LONGEST_NOTE:,}")
    note = Note(text, now() if at is None else at)
    _check_time(note.timestamp)
    store.add_note(user, note)
    return note


def add_photo(store: EventStore, user: str, picture: Path | bytes, *, name: str = "") -> Photo:
    """Keep a picture of a user's own, as its file is; it is decoded once, so that a damaged one is refused now.

    ``name``: by default the file's, or for bytes what their hash begins with. A photo of the same name is replaced.

    Raises:
        ContentError: the file cannot be read, is no picture, or too large to be decoded. StoreError: as `add_event`.
    """
    from fedrec.content.files import UnreadableError, read_file
    from fedrec.content.image_decode import open_picture

    try:
        data = read_file(picture)
        open_picture(data)
    except UnreadableError as error:
        shown = picture.name if isinstance(picture, Path) else name
        action = "Give a JPEG, PNG, WebP, GIF, BMP or TIFF picture"
        raise ContentError(f"the photo cannot be used: {error}", value=shown, action=action) from None
    own = picture.name if isinstance(picture, Path) else hashlib.sha256(data).hexdigest()[:16]
    photo = Photo(name or own, data)
    store.add_photo(user, photo)
    return photo


def now() -> int:
    """Whole seconds since 1970, UTC."""
    return int(time.time())


def moment_of(text: str) -> int:
    """A time as a person writes it: seconds, milliseconds, ... since 1970, or an ISO date, without a zone taken as UTC.

    Raises:
        StoreError: it is none.
    """
    cell = text.strip()
    seconds = in_seconds([cell], unit_of([cell]) if cell else DATES)[0]
    try:
        return int(float(seconds) // 1)
    except (ValueError, OverflowError):
        action = "Write seconds since 1970, or a date such as 2026-11-28T18:30:00+01:00"
        raise StoreError("this is no time", value=text, action=action) from None


def _check_time(at: int | None) -> None:
    if at is not None and at > now() + _AHEAD:
        raise StoreError("this time is yet to come", value=at, action="Give the time at which it happened")
