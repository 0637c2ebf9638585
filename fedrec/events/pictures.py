"""Finding picture files by the name of what they show, without opening them."""

from __future__ import annotations

import os
from pathlib import Path

from fedrec.errors import DataError
from fedrec.events.schema import Skipped

# Where one id has several pictures, the earlier suffix wins.
SUFFIXES = (".jpg", ".jpeg", ".png")


def pictures(directory: Path, skipped: list[Skipped], prefix: str) -> list[Path]:
    """The picture files of a directory by name; one without a byte is left out and recorded as ``prefix/name``.

    Files with other suffixes are not pictures and are passed over. Raises DataError where the directory cannot be
    listed.
    """
    found: list[Path] = []
    try:
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if Path(entry.name).suffix.lower() not in SUFFIXES or not entry.is_file():
                    continue
                if entry.stat().st_size:
                    found.append(directory / entry.name)
                else:
                    skipped.append(Skipped(f"{prefix}/{entry.name}", 0, "zero-byte picture"))
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror}", path=directory) from None
    return found


def by_stem(files: list[Path]) -> dict[str, Path]:
    """Picture files by their name without suffix; of several, the one whose suffix comes first in `SUFFIXES`."""
    ranked = sorted(files, key=lambda file: SUFFIXES.index(file.suffix.lower()), reverse=True)
    return {file.stem: file for file in ranked}
