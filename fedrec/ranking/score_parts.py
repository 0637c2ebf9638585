"""A final score taken apart: what each part of it gives to every item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ScoreParts:
    """What each part adds to the final score, weights included: float32 [users, items] each.

    ``notes``, ``photos``: what a user's own notes and photos add by themselves (`fedrec.ranking.own_taste`), None where
    the score is not weighed by evidence; what the tower makes of them is part of ``tower``.  ``scale``: float32
    [users, 1], what the tower's and behaviour's own weights were multiplied by.
    """

    tower: Floats32
    behaviour: Floats32
    popularity: Floats32
    notes: Floats32 | None = None
    photos: Floats32 | None = None
    scale: Floats32 | None = None

    @property
    def total(self) -> Floats32:
        """The final score."""
        score = self.tower + self.behaviour + self.popularity
        for own in (self.notes, self.photos):
            score = score if own is None else score + own
        return score
