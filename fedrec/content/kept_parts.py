"""Finished blocks of a long encoding on disk, so that a run that is killed loses seconds of work and not hours."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.content.bundle import pack, unpack, write_atomically
from fedrec.content.encoder import Encoded, Problem
from fedrec.errors import ContentError

VERSION: Final = 1
EVERY_SECONDS: Final = 5.0
"""Blocks are written so often: a kill loses as much, and writing takes a small part of it."""


class KeptParts:
    """Blocks of one encoding in a directory of their own, several to a file.

    Args:
        directory: made when something is written.
        identity: what is encoded, and by what; parts of another identity are not taken.
        every: seconds between files.
    """

    def __init__(self, directory: Path, identity: str, every: float = EVERY_SECONDS) -> None:
        self.directory, self.identity, self.every = directory, identity, every
        self._waiting: dict[int, Encoded] = {}
        self._written = time.monotonic()

    def read(self, blocks: int) -> dict[int, Encoded]:
        """Block number -> what was kept of it, of blocks 0 to ``blocks`` - 1. A damaged file is as if it were not."""
        found: dict[int, Encoded] = {}
        for path in sorted(self.directory.glob("*.safetensors")):
            try:
                arrays, meta = unpack(path.read_bytes())
                if (meta["version"], meta["identity"], meta["blocks"]) == (VERSION, self.identity, blocks):
                    found |= {number: _block(arrays, number, meta) for number in meta["numbers"]}
            except (OSError, ContentError, KeyError, ValueError):
                continue
        self._blocks = blocks
        return found

    def add(self, number: int, encoded: Encoded) -> None:
        """Keep a block. Call `read` first. Raises ContentError where the directory cannot be written."""
        self._waiting[number] = encoded
        if time.monotonic() - self._written >= self.every:
            self._write()

    def forget(self) -> None:
        """Remove what is kept: the whole is kept elsewhere."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _write(self) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        problems = {}
        for number, encoded in self._waiting.items():
            arrays |= {f"{number}/values": encoded.values, f"{number}/present": encoded.present}
            problems[str(number)] = [[problem.place, problem.reason] for problem in encoded.problems]
        meta = {"version": VERSION, "identity": self.identity, "blocks": self._blocks}
        data = pack(arrays, {**meta, "numbers": list(self._waiting), "problems": problems})
        write_atomically(self.directory / f"{min(self._waiting):08d}.safetensors", data)
        self._waiting, self._written = {}, time.monotonic()


def _block(arrays: dict[str, NDArray[Any]], number: int, meta: dict[str, Any]) -> Encoded:
    problems = tuple(Problem(place, reason) for place, reason in meta["problems"][str(number)])
    return Encoded(arrays[f"{number}/values"], arrays[f"{number}/present"].astype(np.bool_), problems)
