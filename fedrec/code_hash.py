"""What code this process runs: one SHA-256 over the files of the imported package, for a publisher to sign."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import Final

from fedrec.errors import ReleaseError

_LABEL: Final = b"fedrec code hash v1\0"
# Whatever the interpreter would import, and the settings that code reads. Templates and styles are neither, and
# a bundle for Flower has none, so the hashes of a wheel and of a bundle of the same version are equal.
_COVERED: Final = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES, *BYTECODE_SUFFIXES, ".toml")
_CACHE: Final = "__pycache__"
_PACKAGE: Final = Path(__file__).resolve().parent


def code_hash(package: Path = _PACKAGE) -> str:
    """Return the SHA-256 of a package's code, as 64 hexadecimal digits; without an argument, of this very package.

    Every file that can be imported counts, and every ``.toml``, by its path within the package and its content:
    a file more, a file less or another byte is another hash.  What Python keeps in ``__pycache__`` does not count:
    whoever can write there can write the files beside it.

    Raises:
        ReleaseError: a file cannot be read, a directory is a link, or there is no code.
    """
    digest, count = hashlib.sha256(_LABEL), 0
    try:
        for path in sorted(_covered(package)):
            name = path.relative_to(package).as_posix().encode("utf-8")
            digest.update(hashlib.sha256(name).digest() + hashlib.sha256(path.read_bytes()).digest())
            count += 1
    except OSError as error:
        action = "Install fedrec afresh, as the user that runs it"
        raise ReleaseError(
            f"the installed code cannot be read: {error.strerror}", value=package, action=action
        ) from None
    if not count:
        raise ReleaseError("there is no code here to hash", value=package, action="Install fedrec as files, not zipped")
    return digest.hexdigest()


def _covered(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.is_dir():
            if path.is_symlink():
                action = "Install fedrec afresh"
                raise ReleaseError("the installed code has a link to a directory", value=path.name, action=action)
            if path.name != _CACHE:
                yield from _covered(path)
        elif path.name.endswith(_COVERED):
            yield path
