"""What is beside ``items.csv``: an item's picture, its sound, and the frames of its video, as files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedrec.data.media_files import by_stem, folder, folders, pictures, sounds
from fedrec.data.schema import ItemRecord, Skipped

IMAGES, SOUNDS, VIDEOS = "images", "sounds", "videos"
_NUMBER = re.compile(r"\d+")


def with_media(records: Sequence[ItemRecord], directory: Path, skipped: list[Skipped]) -> tuple[ItemRecord, ...]:
    """Items with their files of a data directory; a folder that is not there adds nothing.

    A picture is ``images/<item>.jpg`` (or .jpeg, .png), a sound ``sounds/<item>.wav``; the frames of a video are
    ``videos/<item>/<n>.jpg``, in the order of their numbers. Files without a byte and files of no item are left out and
    recorded. Raises DataError where a folder is a file or cannot be listed.
    """
    known = {record.id for record in records}
    images = _of_items(folder(directory / IMAGES), known, skipped, "picture")
    heard = _of_items(folder(directory / SOUNDS), known, skipped, "sound")
    frames = _frames(folder(directory / VIDEOS), known, skipped)
    return tuple(
        replace(
            record,
            image=images.get(record.id, record.image),
            sound=heard.get(record.id, record.sound),
            frames=frames.get(record.id, record.frames),
        )
        for record in records
    )


def _of_items(place: Path | None, known: set[str], skipped: list[Skipped], what: str) -> dict[str, Path]:
    if place is None:
        return {}
    find = sounds if what == "sound" else pictures
    found = by_stem(find(place, skipped, place.name))
    for stem in sorted(found.keys() - known):
        skipped.append(Skipped(f"{place.name}/{found[stem].name}", 0, f"{what} of an unknown item"))
    return found


def _frames(place: Path | None, known: set[str], skipped: list[Skipped]) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for of_item in folders(place) if place else ():
        prefix = f"{VIDEOS}/{of_item.name}"
        if of_item.name not in known:
            skipped.append(Skipped(prefix, 0, "video of an unknown item"))
            continue
        found[of_item.name] = tuple(sorted(pictures(of_item, skipped, prefix), key=_by_number))
    return found


def _by_number(frame: Path) -> tuple[int, str]:
    """2.jpg before 10.jpg; a name without a number goes last."""
    number = _NUMBER.search(frame.stem)
    # Of a name of very many digits only the first are read: int() refuses more than some thousand.
    return (int(number.group()[:18]) if number else 10**18, frame.name)
