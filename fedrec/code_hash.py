"""The hash of the code that runs: what a publisher signs, and what a device compares with its own installation.

It covers every file of the imported package that Python can import or that settings are read from. What only reports
need (templates, styles) is left out, and so is Python's cache of compiled modules: who can write there can replace the
interpreter as well.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
from functools import lru_cache
from pathlib import Path
from typing import Final

_SUFFIXES: Final = (*importlib.machinery.all_suffixes(), ".toml")
_CACHE: Final = "__pycache__"


def package_files(package: Path) -> list[Path]:
    """The files of a package that its hash covers, in the order of their paths."""
    found = (path for path in package.rglob("*") if path.name.endswith(_SUFFIXES) and path.is_file())
    inside = ((path.relative_to(package), path) for path in found)
    return [path for relative, path in sorted(inside, key=_posix) if _CACHE not in relative.parts]


def hash_of(package: Path) -> str:
    """SHA-256 in hex over the paths and contents of a package's files. Equal hashes mean equal code.

    Args:
        package: the package's directory.
    """
    digest = hashlib.sha256(b"fedrec code")
    for path in package_files(package):
        for piece in (path.relative_to(package).as_posix().encode(), path.read_bytes()):
            digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def code_hash() -> str:
    """`hash_of` the fedrec that this process imported."""
    return hash_of(Path(__file__).resolve().parent)


def code_version() -> str:
    """The version of the installed fedrec; ``unknown`` where it was not installed."""
    try:
        return importlib.metadata.version("fedrec")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _posix(pair: tuple[Path, Path]) -> str:
    return pair[0].as_posix()
