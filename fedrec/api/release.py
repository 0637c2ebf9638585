"""A release, opened to recommend: what a device does with it, without a store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fedrec.client.ranker import Ranker
from fedrec.client.recommendation import Recommendation
from fedrec.client.search import FoundItem, search
from fedrec.data.schema import Event
from fedrec.errors import DataError, ModelError
from fedrec.release.bundle import Release, read_release
from fedrec.release.directory import release_directory
from fedrec.release.keys import public_from_text, read_public_key

_HEX_DIGITS = 64


def open_release(
    path: str | os.PathLike[str], trusted_key: str | os.PathLike[str] | bytes | None = None
) -> OpenedRelease:
    """Open a release to recommend with it. Its signature, its sizes and the hash of every file are checked first.

    Nothing is remembered: whether it is older than the last is for the caller to see by `OpenedRelease.version`.

    Args:
        path: the release's directory, or the directory of a run, whose ``model`` it is.
        trusted_key: the publisher's public key: a file of it, its 64 hex digits, or its 32 bytes. None: a release of
            any signer is accepted, which finds damage but no forgery; see `OpenedRelease.trusted`.

    Raises:
        ReleaseError: it is missing, damaged, not signed by the trusted key, or cannot be used.
    """
    directory = release_directory(path)
    return OpenedRelease(read_release(directory, trusted_key=_key(trusted_key)), directory)


class OpenedRelease:
    """A release that ranks. Nothing that it is given is kept, written to disk or sent anywhere."""

    def __init__(self, release: Release, directory: Path) -> None:
        self._directory = directory
        self._release = release

    def recommend(
        self,
        history: Sequence[str | int | Event] = (),
        *,
        notes: Sequence[str] = (),
        photos: Sequence[str | os.PathLike[str] | bytes] = (),
        top: int = 10,
        at: int | None = None,
        explain: bool = True,
    ) -> list[Recommendation]:
        """The best items for somebody, best first, each with its reason; none that is in the history.

        Args:
            history: ids of the items that were met, oldest first, or `Event` where times are known. Items that the
                release does not know are left out.
            notes: texts that the person wrote; read where the model reads notes.
            photos: pictures of the person's own, as paths or as the bytes of their files; read likewise.
            top: how many at most, from 1.
            at: when it is asked, seconds since 1970, UTC; None: now. Read where the model reads the time of day.
            explain: False leaves the reasons out, which take most of the time.

        Raises:
            ModelError: there is a history and the release knows nothing of it, or ``top`` is below 1.
            DataError: a photo's file cannot be read.
        """
        if isinstance(history, str):
            raise ModelError("a history is a list of ids", value=history, action=f"Write [{history!r}]")
        events = [one if isinstance(one, Event) else Event(str(one)) for one in history]
        if events and not any(event.item in self._ranker.places for event in events):
            raise ModelError(
                "the release knows none of the items of the history",
                value=events[0].item,
                action=f"Its ids are like {self._ranker.ids[0]!r}; OpenedRelease.items has them all",
            )
        pictures = [_bytes(photo) for photo in photos]
        return self._ranker.recommend_for(events, top, notes=notes, photos=pictures, at=at, explain=explain)

    def search(
        self,
        query: str | None = None,
        *,
        picture: str | os.PathLike[str] | bytes | None = None,
        history: Sequence[str | int | Event] = (),
        taste: float = 0.0,
        top: int = 10,
    ) -> list[FoundItem]:
        """The items that fit words or a picture best, best first; the query is compared here and goes nowhere.

        Args:
            query: words, such as ``"blue velvet lamp"``.
            picture: a picture, as a path or as the bytes of its file.
            history: as in `recommend`; for ``taste``.
            taste: 0 to 1: how much what the history says counts beside the query.
            top: how many at most, from 1.

        Raises:
            ContentError: nothing was asked, the picture cannot be read, or no word says anything to the catalogue.
            ModelError: ``taste`` is not from 0 to 1, or ``top`` is below 1.
            DataError: the picture's file cannot be read.
        """
        events = [one if isinstance(one, Event) else Event(str(one)) for one in history]
        known = self._ranker.known_of(events) if taste else None
        shown = None if picture is None else _bytes(picture)
        return search(self._ranker, query, shown, known=known, taste=taste, top=top)

    @property
    def directory(self) -> Path:
        """Where it was read from; nothing is read there any more."""
        return self._directory

    @cached_property
    def items(self) -> Mapping[str, str]:
        """The catalogue: id -> title, in its order."""
        table = self._release.contents.items
        return MappingProxyType(dict(zip(table.ids, table.titles, strict=True)))

    @property
    def name(self) -> str:
        """What the release is called."""
        return self._release.name

    @property
    def id(self) -> str:
        """SHA-256 of the release's manifest in hex, which names this release and no other."""
        return self._release.id

    @property
    def version(self) -> int:
        """Rises from one release of a publisher to the next; 0: written before there were versions."""
        return self._release.version

    @property
    def signer(self) -> str:
        """Fingerprint of the key that signed it."""
        return self._release.fingerprint

    @property
    def trusted(self) -> bool:
        """Whether it was signed with the key that was asked for; False where none was."""
        return self._release.trusted

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return self._release.contents.card

    @property
    def privacy(self) -> Mapping[str, Any]:
        """The privacy statement that was signed with it, as ``run.json`` has it."""
        return self._release.contents.privacy

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the run that made it."""
        return self._release.contents.config

    def __repr__(self) -> str:
        return f"<OpenedRelease {self.name!r}: {len(self.items):,} items, signed by {self.signer}>"

    @cached_property
    def _ranker(self) -> Ranker:
        return Ranker(self._release)


def _key(given: str | os.PathLike[str] | bytes | None) -> bytes | None:
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str) and len(given.strip()) == _HEX_DIGITS and not Path(given).exists():
        return public_from_text(given)
    return read_public_key(Path(given).expanduser())


def _bytes(photo: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(photo, bytes):
        return photo
    try:
        return Path(photo).read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=Path(photo)) from None
