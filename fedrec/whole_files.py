"""Write a file whole or not at all, and for its owner alone where it holds a secret."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fedrec.console import jsonable
from fedrec.errors import ConfigError, StoreError

SECRET: Final = 0o600
PUBLIC: Final = 0o644


def write_whole(path: Path, data: bytes, *, mode: int = SECRET) -> None:
    """Put ``data`` at ``path`` durably: whoever reads it finds the old file or the new one, never a part.

    Args:
        path: its directory must be there.
        data: all of it.
        mode: the file's rights; by default nobody else reads it, not even while it is written.

    Raises:
        StoreError: the disk refuses, or is full. What was there before is still there.
    """
    partial = path.with_name(f".{path.name}.new")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(mode)
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None


def create_private(path: Path) -> None:
    """Make an empty file that only its owner can read, where there is none. Raises StoreError."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, SECRET))
    except OSError as error:
        raise cannot_write(path, error) from None


def write_json(path: Path, value: Mapping[str, Any], *, mode: int = SECRET) -> None:
    """`write_whole` of a JSON document."""
    write_whole(path, (json.dumps(jsonable(value), indent=2, sort_keys=True) + "\n").encode(), mode=mode)


def read_json(path: Path, most: int = 1 << 24) -> dict[str, Any] | None:
    """The JSON object in a file of at most ``most`` bytes; None where there is no file.

    Raises:
        StoreError: it cannot be read, is too large, or is no JSON object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"cannot read a file: {error.strerror}", value=path.name, action="Look at its rights"
        ) from None
    try:
        value = json.loads(data) if len(data) <= most else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise StoreError("a file is damaged", value=path.name, action="Restore it from a backup, or make it again")
    return value


def cannot_write(path: Path, error: OSError) -> StoreError:
    """What is said where the disk refuses: a full one by its name."""
    return StoreError(
        f"cannot write {path.name}: {error.strerror or error}",
        value=str(path.parent),
        action="Make room on the disk, or look at the directory's rights; then call it again",
    )


def replace_directory(fresh: Path, place: Path) -> None:
    """Put a directory in the place of any before; both are on one disk. Raises StoreError where the disk refuses."""
    old = place.with_name(f".{place.name}.old")
    try:
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        fresh.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise cannot_write(place, error) from None


def new_directory(path: Path) -> Path:
    """Make a directory that only its owner may enter.

    Raises:
        ConfigError: there is something in it already, or it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ConfigError("there is something in the directory already", value=str(path), action="Name a new one")
        path.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"cannot make a directory: {error.strerror}", value=str(path), action="Name another"
        ) from None
    return path
