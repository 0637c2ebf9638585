"""The k items with the largest inner products with a user, exactly: one pass over the items' vectors as they lie.

The vectors may be mapped from a file. A block of them is multiplied while it passes through the cache, and of its
scores only those are looked at that reach the k-th best so far; so memory is a block of scores a thread, whatever the
catalogue and k.
"""

from __future__ import annotations

from threading import local

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking.best import Best, Found, reaches
from fedrec.ranking.block_workers import BlockWorkers

BLOCK_BYTES = 16 << 20
"""Of a block of float32 vectors: large beside the cost of a call, and a few pages of a map."""
PIECE = 8192
"""Numbers multiplied at once within a block. A linear algebra library leaves so few to the thread that asks: were more
given, each of this module's threads would be joined by all of the library's own, and they would wait for each other."""
FIRST = 1024
"""Items whose scores are looked at alone before anything is listed: they rule most of the others out."""
HALF_BLOCK_BYTES = 512 << 10
"""Of a block of float16 vectors once they are float32, which is read again at once: it stays in a core's own cache."""


class RowSearch:
    """Searches vectors that lie one after the other.

    Args:
        rows: float32 or float16 [items, width], C-contiguous, in memory or mapped; only read.
        threads: see `BlockWorkers`.

    Raises:
        ModelError: another kind of array.
    """

    def __init__(self, rows: NDArray[np.floating], *, threads: int | None = None) -> None:
        if rows.ndim != 2 or rows.dtype not in (np.float32, np.float16) or not rows.flags.c_contiguous:
            raise ModelError("rows are float32 or float16 [items, width], one after the other", value=rows.shape)
        self.rows = rows
        self._half = rows.dtype == np.float16
        size = HALF_BLOCK_BYTES if self._half else BLOCK_BYTES
        self._piece = max(1, PIECE // max(rows.shape[1], 1))
        self._block = self._piece * max(1, size // max(4 * rows.shape[1] * self._piece, 1))
        self._workers = BlockWorkers(threads)
        self._space = local()

    def top(
        self,
        user: NDArray[np.floating],
        k: int,
        *,
        ties: NDArray[np.int64] | None = None,
        seen: NDArray[np.integer] | None = None,
    ) -> Found:
        """The k best of the items by ``rows @ user`` in float32, without those in ``seen``.

        Args:
            user: [width].
            k: at least 1.
            ties: see `Best`.
            seen: see `Best`.

        Raises:
            ModelError: k below 1, a user of another width, or a score that is NaN or +inf.
        """
        query = checked_user(user, self.rows.shape[1])
        best = Best(k, ties=ties, seen=seen)
        blocks = -(-len(self.rows) // self._block)
        self._workers.run(blocks, lambda block: self._search(block * self._block, query, best))
        return best.found()

    def _search(self, start: int, query: NDArray[np.float32], best: Best) -> None:
        part = self.rows[start : start + self._block]
        scores, floats = self._spaces()
        out = scores[: len(part)]
        if floats is not None:
            np.copyto(floats[: len(part)], part)
            part = floats[: len(part)]
        self._multiply(part, query, out)
        first = FIRST if best.least == -np.inf else 0
        _look(start, out[:first], best)
        _look(start + first, out[first:], best)

    def _multiply(self, part: NDArray[np.floating], query: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """``part @ query``, piece by piece in one call."""
        whole = len(part) - len(part) % self._piece
        pieces = part[:whole].reshape(-1, self._piece, part.shape[1])
        np.matmul(pieces, query, out=out[:whole].reshape(-1, self._piece))
        np.dot(part[whole:], query, out=out[whole:])

    def _spaces(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """This thread's arrays for the scores of a block, and for its vectors as float32 where they are not."""
        if not hasattr(self._space, "arrays"):
            floats = np.empty((self._block, self.rows.shape[1]), dtype=np.float32) if self._half else None
            self._space.arrays = np.empty(self._block, dtype=np.float32), floats
        arrays: tuple[NDArray[np.float32], NDArray[np.float32] | None] = self._space.arrays
        return arrays


def _look(start: int, scores: NDArray[np.float32], best: Best) -> None:
    """Offer those of the items from ``start`` on that may be listed."""
    least = best.least
    if reaches(scores, least):
        left = best.unseen(np.flatnonzero(scores >= least) + start)
        best.offer(left, scores[left - start])


def checked_user(user: NDArray[np.floating], width: int) -> NDArray[np.float32]:
    """A user's vector as float32 [width]. Raises ModelError where it is of another width, or not finite."""
    found = np.ascontiguousarray(user, dtype=np.float32)
    if found.shape != (width,) or not np.isfinite(found).all():
        raise ModelError(f"a user is a finite vector of width {width}", value=found.shape)
    return found
