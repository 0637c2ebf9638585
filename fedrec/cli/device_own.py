"""``fedrec device add-event``, ``add-note``, ``add-photo`` and ``history``: what a person did, kept on their device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli.device_options import AllowOlder, NewUser, Place, PublisherKey, ReleaseDirectory, User, when
from fedrec.cli.rows import AsJson
from fedrec.console import figure, print_json, say, show_table

if TYPE_CHECKING:
    from fedrec.client.own_events import KnownItems
    from fedrec.data.store import EventStore

At = Annotated[
    str | None, typer.Option(help="When it was: seconds since 1970, or a date such as 2026-11-28T18:30+01:00; now.")
]
_SHOWN = 80


def register(device: typer.Typer) -> None:
    """Add these commands to ``fedrec device``."""
    device.command("add-event")(add_event)
    device.command("add-note")(add_note)
    device.command("add-photo")(add_photo)
    device.command("history")(history)


def add_event(
    item: Annotated[str, typer.Argument(help="The item's id, or its title.")],
    store: Place,
    user: User = None,
    release: ReleaseDirectory = None,
    rating: Annotated[float | None, typer.Option(help="How it was liked, on the scale of the catalogue.")] = None,
    at: At = None,
    unlisted: Annotated[
        bool, typer.Option("--unlisted", help="Keep an item that the release does not know, by the id as it is.")
    ] = False,
    new_user: NewUser = False,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: AsJson = False,
) -> None:
    """Keep that a user met ITEM. The next ``recommend`` knows it, and nothing leaves the device by this."""
    from fedrec.client.own_events import add_event as add
    from fedrec.client.own_events import moment_of
    from fedrec.client.who import adding_user

    with _opened(store, release, key, allow_older, reads=not unlisted) as (opened, items):
        name = adding_user(opened, user, new=new_user)
        moment = None if at is None else moment_of(at)
        event = add(opened, name, item, at=moment, rating=rating, items=items)
    if as_json:
        print_json({"user": name, "added": event is not None, "event": None if event is None else asdict(event)})
    elif event is None:
        say(f"{name} met that at that time already; nothing is added")
    else:
        unchecked = "" if items is not None else "; not looked up in a release"
        say(f"{name} met {event.item}, {when(event.timestamp)}{unchecked}")


def add_note(
    store: Place,
    text: Annotated[str | None, typer.Argument(help="What to note.")] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Take the text from a file (UTF-8) instead.")
    ] = None,
    user: User = None,
    at: At = None,
    new_user: NewUser = False,
    as_json: AsJson = False,
) -> None:
    """Keep a text of a user's own. Where the release reads notes, the next ``recommend`` does; it never leaves."""
    from fedrec.client.own_events import add_note as add
    from fedrec.client.own_events import moment_of
    from fedrec.client.who import adding_user

    if (text is None) == (file is None):
        raise typer.BadParameter("Give TEXT, or --file FILE.")
    moment = None if at is None else moment_of(at)
    with _opened(store, reads=False) as (opened, _):
        name = adding_user(opened, user, new=new_user)
        note = add(opened, name, _text_of(file) if text is None and file is not None else text or "", at=moment)
    if as_json:
        print_json({"user": name, "note": asdict(note)})
    else:
        say(f"{name} noted {len(note.text):,} characters, {when(note.timestamp)}")


def add_photo(
    picture: Annotated[Path, typer.Argument(help="A JPEG, PNG, WebP, GIF, BMP or TIFF file.")],
    store: Place,
    user: User = None,
    name: Annotated[str, typer.Option(help="What to call it; by default the file's name. One of a name is kept.")] = "",
    new_user: NewUser = False,
    as_json: AsJson = False,
) -> None:
    """Keep a picture of a user's own. Where the release reads photos, the next ``recommend`` does; it never leaves."""
    from fedrec.client.own_events import add_photo as add
    from fedrec.client.who import adding_user

    with _opened(store, reads=False) as (opened, _):
        person = adding_user(opened, user, new=new_user)
        photo = add(opened, person, picture, name=name)
    if as_json:
        print_json({"user": person, "photo": photo.name, "bytes": len(photo.data)})
    else:
        say(f"{person} keeps {photo.name}, {len(photo.data):,} bytes")


def history(
    store: Place,
    user: User = None,
    page: Annotated[int, typer.Option(min=1, help="Which page, the newest being 1.")] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000, help="Lines a page.")] = 20,
    release: ReleaseDirectory = None,
    key: PublisherKey = None,
    allow_older: AllowOlder = False,
    as_json: AsJson = False,
) -> None:
    """Show what a user of this device did, wrote and photographed, newest first."""
    from fedrec.client.history import history_page
    from fedrec.client.who import chosen_user

    with _opened(store, reads=False) as (opened, _):
        name = chosen_user(opened, user)
        titles = _titles(opened, store, release, key, allow_older)
        found = history_page(opened, name, page=page, size=size, titles=titles)
    if as_json:
        print_json({"user": name, **asdict(found)})
        return
    rows = [
        (
            when(line.time),
            line.kind,
            _short(line.title or line.what),
            "" if line.rating is None else figure(line.rating, 1),
        )
        for line in found.lines
    ]
    show_table(f"{name}, page {found.page} of {found.pages}", ("when", "", "what", "rating"), rows, numbers=(3,))
    say(f"{found.events:,} events, {found.notes:,} notes and {found.photos:,} photos; all of it is on this device only")


def _titles(
    store: EventStore, place: Path, release: Path | None, key: Path | None, allow_older: bool
) -> dict[str, str]:
    """Item -> title; of a release that was not asked for and cannot be used, none: a history needs none."""
    from fedrec.client.places import release_in
    from fedrec.client.release_memory import remembered_release
    from fedrec.errors import ReleaseError

    directory = release_in(place, release)
    try:
        if directory is not None:
            with remembered_release(directory, store, trusted_key=key, allow_older=allow_older) as trusted:
                return dict(zip(trusted.contents.items.ids, trusted.contents.items.titles, strict=True))
    except ReleaseError:
        if release is not None:
            raise
    return {}


@contextmanager
def _opened(
    place: Path,
    release: Path | None = None,
    key: Path | None = None,
    allow_older: bool = False,
    *,
    reads: bool = True,
) -> Iterator[tuple[EventStore, KnownItems | None]]:
    """The store, and the items of the release where there is one and it is to be read."""
    from fedrec.client.own_events import KnownItems
    from fedrec.client.places import release_in, store_in
    from fedrec.data.store import EventStore

    with EventStore.open(store_in(place)) as opened:
        directory = release_in(place, release) if reads else None
        if directory is None:
            yield opened, None
            return
        from fedrec.client.release_memory import remembered_release

        with remembered_release(directory, opened, trusted_key=key, allow_older=allow_older) as trusted:
            items = trusted.contents.items
            yield opened, KnownItems(items.ids, items.titles)


def _text_of(file: Path) -> str:
    from fedrec.client.own_events import LONGEST_NOTE
    from fedrec.errors import ContentError

    with file.open("rb") as opened:
        data = opened.read(LONGEST_NOTE + 1)
    try:
        return data.decode("utf-8-sig", errors="ignore" if len(data) > LONGEST_NOTE else "strict")
    except UnicodeDecodeError:
        raise ContentError("the file is no text in UTF-8", value=file.name) from None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
