"""The files of a release as a reader holds them: plain, of the right size, each there once its hash was checked."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from fedrec.errors import ReleaseError
from fedrec.release.manifest import LARGEST_MANIFEST

RENEW: Final = "Take a fresh copy of the release"


class HeldFiles(Mapping[str, bytes]):
    """The files of a release, each there once it was read and its hash is the manifest's."""

    def __init__(self, reading: Mapping[str, Future[bytes]]) -> None:
        self._reading = reading

    def __getitem__(self, name: str) -> bytes:
        return self._reading[name].result()

    def __iter__(self) -> Iterator[str]:
        return iter(self._reading)

    def __len__(self) -> int:
        return len(self._reading)

    def check(self) -> None:
        """Wait for all of them. Raises ReleaseError where one is damaged."""
        for found in self._reading.values():
            found.result()


def plain_file(directory: Path, name: str, size: int | None) -> bytes:
    """The bytes of a plain file of exactly ``size`` (None: of a manifest's size at most). No link is followed."""
    path = directory / name
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise ReleaseError(f"{name} is not a plain file", action=RENEW)
        largest = LARGEST_MANIFEST if size is None else size
        if found.st_size > largest or (size is not None and found.st_size < size):
            raise ReleaseError(f"{name} has the wrong size", value=found.st_size, action=RENEW)
        with path.open("rb") as file:
            return file.read(largest + 1)
    except OSError as error:
        raise ReleaseError(
            f"cannot read {name} of the release: {error.strerror}", value=str(directory), action=RENEW
        ) from None
