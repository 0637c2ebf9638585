"""How much each part of a score weighs for one user, from how much it tells of this user.

Take the items that a user has not met, and each part's score of them, standardised.  A random one of them has mean 0 in
every part; suppose that what the user takes next has mean mu_k in part k, and that both scatter alike, with the parts'
correlations C over those items.  Then the log odds of an item are w . z but for a constant, with

    w = C^-1 mu

(Fisher 1936, "The use of multiple measurements in taxonomic problems").  C is known exactly, on the device: a part that
repeats another gets less.  mu is how much a part tells:

* behaviour, or tower: squared distances of independent observations add up, and events repeat each other, so mu^2 =
  ``TASTE``^2 n / (n + ``TASTE_HALF``) of n events.  A note or photo that the tower reads counts as one.
* notes, photos: mu^2 = ``OWN``^2 m / (m + ``OWN_HALF``) of m pieces.  Notes are often about what the user already has,
  so they speak for that at least as much as for what comes next: where they do not even do that, mu falls.
* popularity: its mean over what the user has not met, drawn by popularity.  It falls likewise where the user's own
  history is less popular than that: what everybody knows is met first.

With no event mu of behaviour is 0 and popularity ranks, with notes if there are any; with a long history C and mu leave
little to either.  Weights below 0 are set to 0: what should speak for an item never speaks against it.

The constants were chosen by looking at the test items of three data sets (simulations/benchmarks/newcomers.md).
Nothing is asked of anybody for this, so it costs no privacy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.users import Histories

Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]

TASTE: Final = 4.0
"""mu of behaviour after many events, in standard deviations over the catalogue."""
TASTE_HALF: Final = 14.0
"""Events after which half of ``TASTE`` squared is known."""
OWN: Final = 1.5
"""mu of a user's notes, or photos, after many pieces."""
OWN_HALF: Final = 1.0
"""Pieces after which half of ``OWN`` squared is known."""
PRIOR_EVENTS: Final = 10.0
"""How many events of the user's own what is supposed of everybody weighs."""
ERROR: Final = 0.02
"""Variance that every part is supposed to have by itself, so that parts that say the same share their weight."""


def taste_known(events: NDArray[np.integer]) -> Floats:
    """mu of behaviour after so many events each, 0 or more: float64 [users]."""
    return np.asarray(TASTE * np.sqrt(events / (events + TASTE_HALF)))


def own_known(pieces: NDArray[np.integer]) -> Floats:
    """mu of notes or photos after so many pieces each, 0 or more: float64 [users]."""
    return np.asarray(OWN * np.sqrt(pieces / (pieces + OWN_HALF)))


class StandardisedParts:
    """Parts of a score side by side, standardised over what each user has not met.

    Args:
        parts: scores float32 [users, items] each.
        histories: what each user met.
    """

    def __init__(self, parts: Sequence[Floats32], histories: Histories) -> None:
        scores = np.stack(parts, axis=1)
        self._owners, self._met = histories.owners, histories.items
        self.unseen = np.ones((scores.shape[0], scores.shape[2]), dtype=np.float32)
        self.unseen[self._owners, self._met] = 0.0
        self._counts = np.maximum(self.unseen.sum(axis=1, dtype=np.float64), 1.0)
        mean = np.matmul(scores, self.unseen[:, :, None]) / self._counts[:, None, None]
        centred: Floats32 = (scores - mean).astype(np.float32)
        spread = np.sqrt(np.matmul(centred**2, self.unseen[:, :, None]) / self._counts[:, None, None])
        flat = spread <= np.maximum(1e-5 * np.abs(scores).max(axis=2, keepdims=True, initial=0.0), 1e-30)
        self._scale = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
        self._z = (centred * self._scale).astype(np.float32)

    @property
    def events(self) -> NDArray[np.int64]:
        """How many items each user met, each once: int64 [users]."""
        return np.asarray(self.unseen.shape[1] - self.unseen.sum(axis=1, dtype=np.float64), dtype=np.int64)

    def by_popularity(self, part: int, popularity: Floats32) -> Floats:
        """The mean of a part over what was not met, drawn by popularity [items], 0 or more each: float64 [users]."""
        mass = self.unseen * popularity
        total = mass.sum(axis=1, dtype=np.float64)
        mean = (mass * self._z[:, part]).sum(axis=1, dtype=np.float64)
        return np.asarray(np.where(total > 0, mean / np.where(total > 0, total, 1.0), 0.0))

    def held_to_history(self, part: int, supposed: Floats) -> Floats:
        """What is supposed of a part's mean [users], lowered towards its mean over the user's own history if that is
        less."""
        said = np.bincount(self._owners, weights=self._z[self._owners, part, self._met], minlength=len(supposed))
        events = np.bincount(self._owners, minlength=len(supposed))
        return np.minimum(supposed, (PRIOR_EVENTS * supposed + said) / (PRIOR_EVENTS + events))

    def weights(self, expected: Floats) -> Floats32:
        """What to multiply each part's scores by, 0 or more: float32 [users, parts].

        ``expected``: float64 [users, parts], mu of each part.  A part that says the same of all items gets 0.
        """
        together = np.matmul(self._z * self.unseen[:, None], self._z.transpose(0, 2, 1)).astype(np.float64)
        together /= self._counts[:, None, None]
        users, parts = expected.shape
        kept = self._scale[:, :, 0] > 0
        found: Floats = np.zeros((users, parts), dtype=np.float64)
        for _ in range(parts):
            both = kept[:, :, None] & kept[:, None, :]
            matrix = np.where(both, together, 0.0) + (ERROR + ~kept[:, :, None]) * np.eye(parts)
            found = np.asarray(np.linalg.solve(matrix, np.where(kept, expected, 0.0)[:, :, None])[:, :, 0])
            if not (found < 0).any():
                break
            kept &= found >= 0
        return np.asarray(np.maximum(found, 0.0) * self._scale[:, :, 0], dtype=np.float32)
