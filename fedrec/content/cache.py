"""Results of encoders on disk, found again by what was encoded and by what: a second run skips the slow part.

A damaged file is made again; two processes that make the same one leave one whole file. Files are never deleted, but
parts of a result once it is whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.content.bundle import pack, unpack, write_atomically
from fedrec.content.encoder import Encoded, Problem
from fedrec.content.files import LARGEST_FILE, File
from fedrec.content.kept_parts import KeptParts
from fedrec.data.schema import ItemRecord
from fedrec.errors import ContentError

VERSION = 1


def cache_directory() -> Path:
    """Where encoded content is kept between runs: ``$FEDREC_CACHE``, or ``fedrec`` in the user's cache directory."""
    chosen = os.environ.get("FEDREC_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(chosen) if chosen else Path(base) / "fedrec"


class FeatureCache:
    """A directory of encoded content; without a directory nothing is kept.

    Files hold features of whatever was encoded: keep a cache of private notes or photos on the device they are of.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    def encoded(self, name: str, content: str, make: Callable[[KeptParts | None], Encoded]) -> Encoded:
        """What ``make`` gives, from disk where it was made before.

        Args:
            name: what encodes, with every setting that matters, and, for a fitted encoder, its digest.
            content: a hash of what is encoded (`texts_hash`, `files_hash`).
            make: encodes; called at most once. It is given a place for finished parts, from which it goes on where a
                process before was cut off; None where nothing is kept.

        Raises:
            ContentError: the directory cannot be written; or whatever ``make`` raises.
        """
        if self.directory is None:
            return make(None)
        path = self.path(name, content)
        kept = _read(path, name, content)
        if kept is None:
            parts = KeptParts(path.with_suffix(".parts"), f"{name} {content}")
            kept = make(parts)
            write_atomically(path, _packed(kept, name, content))
            parts.forget()
        return kept

    def path(self, name: str, content: str) -> Path:
        """Where such a result is kept."""
        if self.directory is None:
            raise ContentError("a cache without a directory keeps nothing", action="Give the cache a directory")
        return self.directory / f"{_sha256([name.encode(), content.encode()])[:40]}.safetensors"


def texts_hash(texts: Iterable[str]) -> str:
    """SHA-256 of texts in order, in hex."""
    return _sha256(text.encode("utf-8", "surrogatepass") for text in texts)


def files_hash(files: Iterable[File]) -> str:
    """SHA-256 of files' bytes in order, in hex; one that is missing and one that cannot be read both count."""
    return _sha256(_bytes_of(file) for file in files)


def items_hash(items: Iterable[ItemRecord]) -> str:
    """SHA-256 of items' titles, attributes and numbers in order, in hex."""
    return texts_hash(
        repr((item.title, sorted(item.attributes.items()), sorted(item.numbers.items()))) for item in items
    )


def _bytes_of(given: File) -> bytes:
    if given is None:
        return b"none"
    if isinstance(given, bytes):
        return b"file" + given
    try:
        with given.open("rb") as file:
            return b"file" + file.read(LARGEST_FILE + 1)
    except (OSError, ValueError):
        return b"unreadable"


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _packed(encoded: Encoded, name: str, content: str) -> bytes:
    problems = [[problem.place, problem.reason] for problem in encoded.problems]
    arrays: dict[str, NDArray[Any]] = {"values": encoded.values, "present": encoded.present}
    return pack(arrays, {"version": VERSION, "name": name, "content": content, "problems": problems})


def _read(path: Path, name: str, content: str) -> Encoded | None:
    try:
        arrays, meta = unpack(path.read_bytes())
        if (meta["version"], meta["name"], meta["content"]) != (VERSION, name, content):
            return None
        present = arrays["present"].astype(np.bool_)
        return Encoded(arrays["values"], present, tuple(Problem(place, why) for place, why in meta["problems"]))
    except (OSError, ContentError, KeyError):
        return None
