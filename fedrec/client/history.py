"""What a user of this device did, wrote and photographed, page after page, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedrec.data.store import EventStore
from fedrec.errors import StoreError

LineKind = Literal["event", "note", "photo"]


@dataclass(frozen=True)
class HistoryLine:
    """One thing. ``what``: an item's id, a note's text, or a photo's name.  ``title``: of the item, empty where nobody
    knows it.  ``time``: seconds since 1970, None where unknown."""

    kind: LineKind
    what: str
    title: str
    time: int | None
    rating: float | None


@dataclass(frozen=True)
class HistoryPage:
    """``lines`` of page ``page`` of ``pages``, from 1; ``events``, ``notes``, ``photos``: how many there are in all."""

    lines: tuple[HistoryLine, ...]
    page: int
    pages: int
    events: int
    notes: int
    photos: int


def history_page(
    store: EventStore, user: str, *, page: int = 1, size: int = 20, titles: Mapping[str, str] | None = None
) -> HistoryPage:
    """A page of what a user did, newest first; what has no time comes last, photos, which have none, at the very end.

    Args:
        store: the device's.
        user: who.
        page: from 1.
        size: of a page, at least 1.
        titles: item -> title, as far as they are known.

    Raises:
        StoreError: there is no such page, or the store cannot be read.
    """
    known = titles or {}
    events = [
        HistoryLine("event", event.item, known.get(event.item, ""), event.timestamp, event.rating)
        for event in store.events(user)
    ]
    notes = [HistoryLine("note", note.text, "", note.timestamp, None) for note in store.notes(user)]
    photos = [HistoryLine("photo", photo.name, "", None, None) for photo in store.photos(user)]
    # Sorting is stable: of one time, what was added later comes first.
    timed = sorted([*reversed(events), *reversed(notes)], key=lambda line: 1 if line.time is None else -line.time)
    lines = [*timed, *reversed(photos)]
    pages = max(1, -(-len(lines) // size))
    if not 1 <= page <= pages:
        raise StoreError("there is no such page", value=page, action=f"There are {pages}")
    shown = tuple(lines[(page - 1) * size : page * size])
    return HistoryPage(shown, page, pages, len(events), len(notes), len(photos))
