"""Items that users never met, drawn for many users at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import DataError

_ROOM: Final = 4
"""Of a catalogue this many times as large as what is drawn and what was met, at least three draws in four are new."""


def can_draw(met: int, items: int, count: int) -> bool:
    """Whether ``count`` items of so many can be drawn quickly beside ``met`` others."""
    return items >= _ROOM * (count + met)


def draw_unmet(rng: np.random.Generator, met: NDArray[np.int32], items: int, count: int) -> NDArray[np.int32]:
    """Draw ``count`` different items for each user, none of them in the user's row of ``met``.

    Each set of ``count`` items that a user has not met is equally likely: what repeats an earlier draw or was met is
    drawn again until nothing does, and no step of that prefers one such item over another. Their order says nothing.

    Args:
        rng: decides the draws. Evaluation only: no privacy rests on it.
        met: int32 [users, n], places in the catalogue, -1 where a row is shorter.
        items: of the catalogue; must be large enough that few draws are in vain (`can_draw`).
        count: 1 or more.

    Returns:
        int32 [users, count].

    Raises:
        DataError: the catalogue is too small for it.
    """
    if not can_draw(met.shape[1], items, count):
        raise DataError("too few items to draw negatives at random", path="items", value=items)
    drawn = rng.integers(0, items, (len(met), count), dtype=np.int32)
    rows = np.arange(len(met))
    while len(rows):
        bad = _taken(drawn[rows], met[rows])
        rows, bad = rows[bad.any(axis=1)], bad[bad.any(axis=1)]
        fresh = drawn[rows]
        fresh[bad] = rng.integers(0, items, int(bad.sum()), dtype=np.int32)
        drawn[rows] = fresh
    return drawn


def _taken(drawn: NDArray[np.int32], met: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which draws repeat an earlier one of their row or name an item of ``met``; bool, the shape of ``drawn``."""
    both = np.concatenate([met, drawn], axis=1)
    order = np.argsort(both, axis=1, kind="stable")
    ranked = np.take_along_axis(both, order, axis=1)
    again = np.zeros(both.shape, dtype=np.bool_)
    again[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    marks = np.zeros(both.shape, dtype=np.bool_)
    np.put_along_axis(marks, order, again, axis=1)
    return np.asarray(marks[:, met.shape[1] :])
