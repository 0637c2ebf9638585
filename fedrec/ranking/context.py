"""What a user tower is told of the time of day when it ranks: of the request, and of the events it reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedrec.model.clock import UNKNOWN, clock, mean_clock
from fedrec.users import UserBatch


def context_of(
    request: NDArray[np.int64], indptr: NDArray[np.int64], seconds: NDArray[np.int64], last: int
) -> NDArray[np.float32]:
    """Return what a tower is told of users when it ranks, float32 [users, `WIDTH`].

    Args:
        request: int64 [users], when each one asks; `UNKNOWN` where nobody says.
        indptr: int64 [users + 1], whose the events are.
        seconds: int64 [n], of the events of the histories, in time order.
        last: how many of them, at the end, the tower reads.
    """
    counts = np.minimum(np.diff(indptr), last)
    column = np.arange(max(1, int(counts.max(initial=0))))
    mask = column[None, :] < counts[:, None]
    places = np.where(mask, (indptr[1:] - counts)[:, None] + column[None, :], 0)
    table = seconds[places] if len(seconds) else np.full(mask.shape, UNKNOWN, np.int64)
    return np.concatenate([clock(request), mean_clock(table, mask)], axis=1)


def with_context(users: UserBatch, last: int) -> UserBatch:
    """Return the users with the context of a ranking at an unknown time; unchanged where no time of theirs is told.

    A device that measures on a held-out item says nothing of when it was met: that is held out, too.

    Args:
        users: with ``times`` where the model reads them.
        last: how many events of a history the tower reads.
    """
    if users.times is None:
        return users
    nobody = np.full(len(users), UNKNOWN, np.int64)
    return replace(users, context=context_of(nobody, users.histories.indptr, users.times, last))
