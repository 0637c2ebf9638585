"""What anything that scores must hold to, as checks that can be run on any scorer: ours, or one of your own.

A scorer is a function from a block of users to float32 [users, items]. Ranking, metrics and explanations rest on the
promises checked here and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import FedrecError, ModelError
from fedrec.users import Histories

Score = Callable[[Histories], NDArray[np.float32]]
TOLERANCE = 1e-3


def check_scoring(score: Score, items: int, rng: np.random.Generator, *, users: int = 7) -> None:
    """Run every check on ``score`` with random histories over a catalogue of ``items``.

    Raises:
        ModelError: a promise is broken; says which one.
    """
    for check in (check_form, check_determinism, check_independence, check_edges, check_bad_input):
        check(score, items, _histories(items, rng, users))


def check_form(score: Score, items: int, users: Histories) -> None:
    """Scores are float32 [users, items] and finite, and the histories are not written to."""
    before = users.items.copy()
    scores = score(users)
    _hold(scores.shape == (len(users), items), "scores must be [users, items]", scores.shape)
    _hold(scores.dtype == np.float32, "scores must be float32", str(scores.dtype))
    _hold(bool(np.isfinite(scores).all()), "scores must be finite")
    _hold(np.array_equal(before, users.items), "scoring must not write to the histories")


def check_determinism(score: Score, items: int, users: Histories) -> None:
    """The same users get the same scores, to the last bit, and an answer given before is not written over."""
    first = score(users)
    kept = first.copy()
    _hold(np.array_equal(score(users), kept), "the same users must get the same scores")
    _hold(np.array_equal(first, kept), "an answer given before must stay as it was")


def check_independence(score: Score, items: int, users: Histories) -> None:
    """A user's scores depend on that user alone: not on who else is in the block, nor on the order."""
    together = score(users)
    backwards = np.arange(len(users))[::-1]
    _hold(_close(score(users.take(backwards)), together[backwards]), "scores must not depend on the order of users")
    for user in range(len(users)):
        alone = score(users.take(np.array([user])))
        _hold(_close(alone[0], together[user]), "scores must not depend on the other users of a block", user)


def check_edges(score: Score, items: int, users: Histories) -> None:
    """No users at all, a user without history, and one who touched everything many times are all scored."""
    _hold(score(users.take(np.zeros(0, dtype=np.int64))).shape == (0, items), "no users must give [0, items]")
    everything = np.tile(np.arange(items), 3)
    scores = score(Histories.of([np.zeros(0, dtype=np.int64), everything]))
    _hold(scores.shape == (2, items), "an empty and a long history must be scored", scores.shape)
    _hold(bool(np.isfinite(scores).all()), "scores of an empty or a long history must be finite")


def check_bad_input(score: Score, items: int, users: Histories) -> None:
    """An item beyond the catalogue is refused with an error of fedrec."""
    try:
        score(Histories.of([np.array([items])]))
    except FedrecError:
        return
    raise ModelError("an item beyond the catalogue must be refused", value=items, action="Call Histories.check first")


def _histories(items: int, rng: np.random.Generator, users: int) -> Histories:
    lengths = rng.integers(0, min(items, 40), size=users)
    return Histories.of([rng.choice(items, size=int(length), replace=False) for length in lengths])


def _close(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE))


def _hold(kept: bool, promise: str, value: object | None = None) -> None:
    if not kept:
        raise ModelError(promise, value=value, action="See fedrec/testing/scoring.py")
