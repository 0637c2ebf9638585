"""What users wrote and photographed, and which users there are: ``users.csv``, ``notes.csv`` and ``photos/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedrec.data.media_files import folders, pictures
from fedrec.data.schema import Skipped
from fedrec.data.tables import CSV, Table
from fedrec.data.tally import Tally, cut


def read_users(table: Table, column: str, known: Sequence[str], tally: Tally) -> tuple[str, ...]:
    """``known`` followed by the users that only this table names: people with no event yet. Other columns (age, ...)
    are not read. Raises DataError for a wrong structure."""
    place = table.header.index(column)
    users: dict[str, None] = dict.fromkeys(known)
    seen: set[str] = set()
    for chunk in table.chunks(tally):
        for line, user in zip(chunk.lines.tolist(), chunk.columns[place], strict=True):
            if not user:
                tally.lose(line, "missing cell")
            elif user in seen:
                tally.lose(line, "duplicate row")
            else:
                seen.add(user)
                users.setdefault(user)
    tally.finish()
    return tuple(users)


def read_notes(path: Path, users: Mapping[str, int], skipped: list[Skipped]) -> dict[int, tuple[str, ...]]:
    """``notes.csv`` (user,text): what each user wrote, in the order of the file, by the user's place.

    Rows without a user or a text, of a user not in ``users``, and repeated rows are lost; a text over 1 MB is cut.
    Raises DataError for a wrong structure or when more than half of the rows are lost.
    """
    table = Table(path, CSV)
    table.require("user", "text")
    user_at, text_at = table.header.index("user"), table.header.index("text")
    tally = Tally(path, skipped)
    notes: dict[int, dict[str, None]] = {}
    for chunk in table.chunks(tally):
        cells = zip(chunk.lines.tolist(), chunk.columns[user_at], chunk.columns[text_at], strict=True)
        for line, user, text in cells:
            if not user or not text.strip():
                tally.lose(line, "missing cell")
            elif user not in users:
                tally.lose(line, "unknown user")
            elif text in (mine := notes.setdefault(users[user], {})):
                tally.lose(line, "duplicate row")
            else:
                mine[cut(text, tally, line, "text")] = None
    tally.finish()
    return {place: tuple(texts) for place, texts in notes.items()}


def read_photos(directory: Path, users: Mapping[str, int], skipped: list[Skipped]) -> dict[int, tuple[Path, ...]]:
    """``photos/<user>/*.jpg`` (or .jpeg, .png): each user's picture files by name, by the user's place.

    Left out and recorded: folders of a user not in ``users``, files without bytes. Raises DataError where a folder
    cannot be listed.
    """
    photos: dict[int, tuple[Path, ...]] = {}
    for folder in folders(directory):
        prefix = f"{directory.name}/{folder.name}"
        if folder.name not in users:
            skipped.append(Skipped(prefix, 0, "photos of an unknown user"))
            continue
        files = pictures(folder, skipped, prefix)
        if files:
            photos[users[folder.name]] = tuple(files)
    return photos
