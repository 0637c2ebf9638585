"""A device and its release, opened once, so that what a person adds changes the ranking at once.

The release is read and checked, and its catalogue encoded, when the desk is opened; the store is opened anew for each
request, so that a process that answers a server's requests meanwhile is neither held up nor overlooked.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from fedrec.client.given import GivenSums, forget_user, given
from fedrec.client.history import HistoryPage, history_page
from fedrec.client.own_events import KnownItems, add_event, add_note, add_photo
from fedrec.client.ranker import Ranker
from fedrec.client.recommendation import Recommendation
from fedrec.client.release_memory import remembered_release
from fedrec.client.search import FoundItem, search
from fedrec.client.who import adding_user, chosen_user
from fedrec.content.thumbnail import thumbnail
from fedrec.data.item_media import IMAGES
from fedrec.data.media_files import by_stem, folder, pictures
from fedrec.data.store import EventStore

TOP: Final = 12
_TASTE: Final = 0.5
_SHOWN: Final = 18
_KEPT: Final = 1024


@dataclass(frozen=True)
class DeviceView:
    """What the first page shows of a user.

    ``user``: None where the device knows nobody.  ``moved``: item -> how many places it rose since the list before,
    None where it was not in it; empty for a first list.  ``last``: ids of the last events, the newest first.
    ``photos``: their names, the newest first.
    """

    users: tuple[str, ...]
    user: str | None
    picks: tuple[Recommendation, ...]
    moved: Mapping[str, int | None]
    last: tuple[str, ...]
    events: int
    notes: tuple[str, ...]
    photos: tuple[str, ...]


class DeviceDesk:
    """What a person at a device may do.

    Args:
        store: the device's event store.
        release: a release's directory.
        items: a data directory whose ``images/`` has the items' pictures, or None.
        trusted_key: a file with the publisher's public key, as for `fedrec.client.ranker.recommend`.
        allow_older: use the release although the device has ranked with a newer one.

    Raises:
        ReleaseError: the release is damaged, of another publisher, older than one before, or cannot be used.
        StoreError: there is no such store. DataError: ``items`` cannot be read.
    """

    def __init__(
        self,
        store: Path,
        release: Path,
        items: Path | None = None,
        *,
        trusted_key: Path | None = None,
        allow_older: bool = False,
    ) -> None:
        self._store = store
        with (
            EventStore.open(store) as opened,
            remembered_release(release, opened, trusted_key=trusted_key, allow_older=allow_older) as found,
        ):
            self._ranker = Ranker(found, keeps_own=_KEPT)
            self._ranker.recommend_for([], 1)  # what is made at the first use is made before the first request
        self.release = found
        self.titles = dict(zip(self._ranker.ids, self._ranker.titles, strict=True))
        self._items = KnownItems(self._ranker.ids, self._ranker.titles)
        place = None if items is None else folder(items / IMAGES)
        files = {} if place is None else by_stem(pictures(place, [], IMAGES))
        self._pictures = {item: path for item, path in files.items() if item in self._ranker.places}
        self._before: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    @property
    def pictured(self) -> frozenset[str]:
        """The items that have a picture."""
        return frozenset(self._pictures)

    def view(self, user: str | None) -> DeviceView:
        """The first page. ``user``: None = the only one, or the first. Raises StoreError for one that is not there."""
        with self._opened() as store:
            users = tuple(store.users())
            if not users:
                found = self._ranker.recommend_for([], TOP)
                return DeviceView(users, None, tuple(found), {}, (), 0, (), ())
            name = users[0] if user is None else chosen_user(store, user)
            picks = tuple(self._ranker.recommend(store, name, TOP))
            events = store.events(name)
            return DeviceView(
                users=users,
                user=name,
                picks=picks,
                moved=self._moved(name, [pick.item for pick in picks]),
                last=tuple(event.item for event in reversed(events[-_SHOWN:])),
                events=len(events),
                notes=tuple(note.text for note in reversed(store.notes(name))),
                photos=tuple(photo.name for photo in reversed(store.photos(name))),
            )

    def add_event(self, user: str | None, item: str) -> str:
        """Keep that a user met an item now; its title. Raises as `fedrec.client.own_events.add_event`."""
        with self._opened() as store:
            add_event(store, adding_user(store, user), item, items=self._items)
        return self.titles.get(item) or item

    def add_note(self, user: str | None, text: str) -> None:
        """Keep a note. Raises as `fedrec.client.own_events.add_note`."""
        with self._opened() as store:
            add_note(store, adding_user(store, user), text)

    def add_photo(self, user: str | None, data: bytes) -> None:
        """Keep a photo. Raises as `fedrec.client.own_events.add_photo`."""
        with self._opened() as store:
            add_photo(store, adding_user(store, user), data)

    def search(
        self, user: str | None, words: str | None, picture: bytes | None, *, mixed: bool
    ) -> tuple[str | None, Sequence[FoundItem]]:
        """Who asked, and the items that fit words or a picture; ``mixed``: and that the user may like.

        Raises:
            ContentError: nothing was asked, or nothing of it says anything to the catalogue.
        """
        with self._opened() as store:
            users = store.users()
            name = chosen_user(store, user) if user is not None and users else (users[0] if users else None)
            known = self._ranker.known(store, name) if mixed and name is not None else None
        taste = 0.0 if known is None else _TASTE
        return name, search(self._ranker, words, picture, known=known, taste=taste, top=TOP)

    def history(self, user: str, number: int) -> HistoryPage:
        """A page of what a user did. Raises StoreError where there is no such user or page."""
        with self._opened() as store:
            return history_page(store, chosen_user(store, user), page=number, size=24, titles=self.titles)

    def users(self) -> list[str]:
        """Who is on the device."""
        with self._opened() as store:
            return store.users()

    def given(self) -> GivenSums:
        """What has left the device. Raises PrivacyError where its ledger is damaged."""
        with self._opened() as store:
            return given(store)

    def set_budget(self, epsilon: float) -> None:
        """Limit what the device gives over all runs; 0 = no limit but that of each run's settings."""
        from fedrec.client.budget import set_budget

        with self._opened() as store:
            set_budget(store, epsilon)

    def forget(self, user: str) -> GivenSums:
        """Erase all of a user; returns what was given before, see `fedrec.client.given.forget_user`."""
        with self._opened() as store:
            before = forget_user(store, user)
        self._before.pop(user, None)
        self._ranker.own_content.forget()
        return before

    def picture(self, item: str) -> bytes | None:
        """An item's picture as a small JPEG; None where there is none. Looked up, never made a path of."""
        path = self._pictures.get(item)
        return None if path is None else _small(path)

    def photo(self, user: str, name: str) -> bytes | None:
        """A user's photo by its name, as a small JPEG without its metadata; None where there is none."""
        with self._opened() as store:
            photos = store.photos(chosen_user(store, user))
        return next((thumbnail(photo.data) for photo in photos if photo.name == name), None)

    def _opened(self) -> EventStore:
        return EventStore.open(self._store, check=False)

    def _moved(self, user: str, now: Sequence[str]) -> dict[str, int | None]:
        """How the list changed since the last one of this user that was another one."""
        with self._lock:
            before = self._before.get(user)
            self._before[user] = tuple(now)
        if before is None:
            return {}
        places = {item: place for place, item in enumerate(before)}
        return {item: places[item] - place if item in places else None for place, item in enumerate(now)}


@lru_cache(maxsize=4096)
def _small(path: Path) -> bytes | None:
    return thumbnail(path)
