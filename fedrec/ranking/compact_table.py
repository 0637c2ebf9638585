"""Item vectors made small for searching: cut into blocks of items, and in a block one dimension after the other.

A search need not read all dimensions of it (`fedrec.ranking.compact_search`).  Laid out like this a dimension of a
block is a run of memory, see de Vries et al., "Efficient k-NN search on vertically decomposed data" (SIGMOD 2002), and
Kuffo et al., "PDX: a data layout for vector similarity search" (SIGMOD 2025).

Numbers are stored as

* ``int8``: symmetric with a scale an item: scale = max |x| / 127, a quarter of float32.  Each number is off by half a
  scale at most.
* ``float16``: half of float32; off by 2^-11 of itself at most, or by 2^-25 where it is below 2^-14.
* ``float32``: as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

Kind = Literal["int8", "float16", "float32"]
KINDS: Final[tuple[Kind, ...]] = ("int8", "float16", "float32")
BLOCK_ITEMS: Final = 8192
"""Items of a block: a third of the dimensions of a block of width 64, as float32, stay in a core's own cache."""
_FILES: Final = ("values", "reach", "scale")
_LARGEST_HALF: Final = 65504.0


@dataclass(frozen=True, eq=False)
class CompactTable:
    """Vectors of ``items`` items. Arrays may be mapped from files, and are only read.

    Args:
        values: int8, float16 or float32 [blocks, width, block]; beyond the last item 0.
        reach: float32 [blocks, block], the Euclidean length of an item's stored numbers, before its scale.
        scale: float32 [blocks, block], what an item's stored numbers are multiplied by.
        items: how many there are.

    Raises:
        ModelError: arrays that do not fit each other.
    """

    values: NDArray[np.generic]
    reach: NDArray[np.float32]
    scale: NDArray[np.float32]
    items: int

    def __post_init__(self) -> None:
        fits = self.values.ndim == 3 and self.reach.shape == self.scale.shape == self.values.shape[::2]
        blocks, _, block = self.values.shape if fits else (0, 0, 0)
        if not fits or self.values.dtype.name not in KINDS or not (blocks - 1) * block < self.items <= blocks * block:
            raise ModelError("a compact table's arrays do not fit each other", value=self.values.shape)

    @property
    def kind(self) -> str:
        """How its numbers are stored: one of `KINDS`."""
        return self.values.dtype.name

    @property
    def width(self) -> int:
        """Numbers of an item."""
        return int(self.values.shape[1])

    @property
    def block(self) -> int:
        """Items of a block."""
        return int(self.values.shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, in memory or on disk."""
        return int(self.values.nbytes + self.reach.nbytes + self.scale.nbytes)

    @classmethod
    def of(cls, rows: NDArray[np.floating], kind: Kind = "int8", *, block: int = BLOCK_ITEMS) -> CompactTable:
        """Make vectors [items, width] compact, at least one item, one block after the other.

        Raises:
            ModelError: no item, a value that is not finite, or one that float16 cannot hold.
        """
        if rows.ndim != 2 or not len(rows):
            raise ModelError("a compact table is made of vectors [items, width] of one item at least", value=rows.shape)
        block = min(block, len(rows))
        blocks = -(-len(rows) // block)
        values = np.zeros((blocks, rows.shape[1], block), dtype=kind)
        reach, scale = np.zeros((blocks, block), dtype=np.float32), np.ones((blocks, block), dtype=np.float32)
        for place in range(blocks):
            part = np.asarray(rows[place * block : (place + 1) * block], dtype=np.float32)
            stored, scale[place, : len(part)] = _stored(part, kind)
            values[place, :, : len(part)] = stored.T
            reach[place, : len(part)] = np.linalg.norm(stored.astype(np.float64), axis=1)
        return cls(values, reach, scale, len(rows))

    def save(self, directory: Path) -> None:
        """Write it as arrays of NumPy's format, which `open` maps. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            np.save(directory / f"{name}.npy", getattr(self, name), allow_pickle=False)
        np.save(directory / "items.npy", np.array(self.items), allow_pickle=False)

    @classmethod
    def open(cls, directory: Path) -> CompactTable:
        """Map what `save` wrote: nothing is read but what a search reads.

        Whoever could write to the directory could change what is found; a device keeps it where its store is.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        try:
            values, reach, scale = (np.load(directory / f"{name}.npy", mmap_mode="r") for name in _FILES)
            items = int(np.load(directory / "items.npy"))
        except (OSError, ValueError, TypeError, EOFError):
            raise ModelError(
                "there is no compact table that can be read",
                value=str(directory),
                action="Make it again from the release",
            ) from None
        return cls(values, reach, scale, items)


def _stored(part: NDArray[np.float32], kind: Kind) -> tuple[NDArray[np.generic], NDArray[np.float32] | np.float32]:
    """Some items' vectors as they are stored, and their scales."""
    if not np.isfinite(part).all():
        raise ModelError("an item's vector is not finite", action="Look for a diverged model; rank nothing with it")
    if kind == "float32":
        return part, np.float32(1)
    if kind == "float16":
        if np.abs(part).max(initial=0) > _LARGEST_HALF:
            raise ModelError("a value is too large for float16", action="Store the vectors as int8 or float32")
        return part.astype(np.float16), np.float32(1)
    largest = np.abs(part).max(axis=1, initial=0)
    # Below the smallest normal number a scale would lose its digits: such an item is as good as zero.
    scale = np.where(largest > 127 * np.finfo(np.float32).tiny, largest / np.float32(127), np.float32(1))
    return np.rint(part / scale[:, None]).astype(np.int8), scale.astype(np.float32)
