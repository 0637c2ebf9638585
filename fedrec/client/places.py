"""Where things lie in a device's directory, for whoever names that directory instead of each file in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fedrec.errors import StoreError

STORE: Final = "store.sqlite"
RELEASE: Final = "release"
_FACTS: Final = "device.json"


def store_in(place: Path) -> Path:
    """The event store that ``place`` names: itself, or where it is a directory `STORE` in it, what ``fedrec device
    init`` wrote down there, or the only ``.sqlite``.

    Raises:
        StoreError: the directory holds none, or several. ConfigError: what was written down cannot be read.
    """
    if not place.is_dir():
        return place
    if (place / STORE).is_file():
        return place / STORE
    if (place / _FACTS).is_file():
        from fedrec.client.own.device_directory import device_directory

        return device_directory(place).store
    found = sorted(path for path in place.glob("*.sqlite") if path.is_file())
    if len(found) == 1:
        return found[0]
    what = "several event stores are in this directory" if found else "no event store is in this directory"
    raise StoreError(what, value=str(place), action="Give the path of the store's file")


def release_in(place: Path, release: Path | None) -> Path | None:
    """The release to use: the one that was named, else the one in the device's directory; None where there is neither.

    ``place``: the device's directory, or its store's file, beside which the release lies.
    """
    if release is not None:
        return release
    beside = (place if place.is_dir() else place.parent) / RELEASE
    return beside if beside.is_dir() else None


def needed_release(place: Path, release: Path | None) -> Path:
    """The same as `release_in`. Raises StoreError where there is none."""
    found = release_in(place, release)
    if found is None:
        raise StoreError("no release is at hand", value=str(place), action="Give one with --release DIRECTORY")
    return found
