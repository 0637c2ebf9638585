"""Finding picture and sound files by the name of what they show, without opening them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fedrec.data.schema import Skipped
from fedrec.errors import DataError

# Where one id has several pictures, the earlier suffix wins.
SUFFIXES = (".jpg", ".jpeg", ".png")
SOUND_SUFFIXES = (".wav",)


def pictures(directory: Path, skipped: list[Skipped], prefix: str) -> list[Path]:
    """The picture files of a directory by name; one without a byte is left out and recorded as ``prefix/name``.

    Files with other suffixes are not pictures and are passed over. Raises DataError where the directory cannot be
    listed.
    """
    return _files(directory, skipped, prefix, SUFFIXES, "picture")


def sounds(directory: Path, skipped: list[Skipped], prefix: str) -> list[Path]:
    """The sound files of a directory; see `pictures`."""
    return _files(directory, skipped, prefix, SOUND_SUFFIXES, "sound")


def folder(path: Path) -> Path | None:
    """The folder, or None where there is none. Raises DataError for a file of that name."""
    if path.exists() and not path.is_dir():
        raise DataError(f"the folder {path.name} is a file", path=path, action="Make it a folder, or take it away")
    return path if path.exists() else None


def folders(directory: Path) -> list[Path]:
    """The folders in a directory by name. Raises DataError where it cannot be listed."""
    try:
        return sorted(entry for entry in directory.iterdir() if entry.is_dir())
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror}", path=directory) from None


def by_stem(files: list[Path]) -> dict[str, Path]:
    """Files by their name without suffix; of several pictures, the one whose suffix comes first in `SUFFIXES`."""
    ranked = sorted(files, key=lambda file: (*SUFFIXES, *SOUND_SUFFIXES).index(file.suffix.lower()), reverse=True)
    return {file.stem: file for file in ranked}


def _files(directory: Path, skipped: list[Skipped], prefix: str, suffixes: Sequence[str], what: str) -> list[Path]:
    found: list[Path] = []
    try:
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if Path(entry.name).suffix.lower() not in suffixes or not entry.is_file():
                    continue
                if entry.stat().st_size:
                    found.append(directory / entry.name)
                else:
                    skipped.append(Skipped(f"{prefix}/{entry.name}", 0, f"zero-byte {what}"))
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror}", path=directory) from None
    return found
