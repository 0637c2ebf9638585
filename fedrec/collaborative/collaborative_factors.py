"""The collaborative factors: what collaboration adds to a release, as factors over the catalogue.

It is made from private sums (popularity, co-occurrence) by the server and read by every device. It holds nothing about
one person beyond what those sums, with their noise, already gave away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

ARRAYS = ("history", "candidate", "popularity")
# Parts of the table where its settings ask for them.
FACTORS = "factors"
RATINGS = "ratings"


@dataclass(frozen=True, eq=False)
class CollaborativeFactors:
    """A user with the items J scores item i as ``sum over j in J of history[j] . candidate[i]``.

    Args:
        history: float32 [items, rank]; rank 0 where there is no co-occurrence.
        candidate: float32 [items, rank].
        popularity: float32 [items], estimates, zero or above; all zeros where there are none.
        factors: float32 [items, k], among which a device places its user (`fedrec.collaborative.fold_in_factors`); None
            where there are none.
        ratings: float32 [items], how much higher than its user's mean each item is expected to be rated, in the unit of
            ratings (`fedrec.ranking.ratings`); None where ratings were not asked for.

    Raises:
        ModelError: shapes that do not fit each other, values that are not finite, or a popularity below zero.
    """

    history: NDArray[np.float32]
    candidate: NDArray[np.float32]
    popularity: NDArray[np.float32]
    factors: NDArray[np.float32] | None = None
    ratings: NDArray[np.float32] | None = None

    def discounted(self, power: float) -> CollaborativeFactors:
        """The same with each item's score as a candidate divided by (its share of the mean popularity + 0.1)^power.

        Popularity comes from the private sum, noise and all, so nothing more is asked and none is spent.
        """
        mean = float(self.popularity.mean(dtype=np.float64)) if len(self.popularity) else 0.0
        if power == 0 or mean == 0:
            return self
        factor = (self.popularity.astype(np.float64) / mean + 0.1) ** -power
        return replace(self, candidate=(self.candidate * factor[:, None]).astype(np.float32))

    def __post_init__(self) -> None:
        for name in self.names:
            object.__setattr__(self, name, _float32(name, getattr(self, name)))
        if self.history.ndim != 2 or self.history.shape != self.candidate.shape:
            raise ModelError(
                "collaborative factors need two tables of one shape [items, rank]",
                value=(self.history.shape, self.candidate.shape),
                action="Solve both factors over the same catalogue",
            )
        if self.popularity.shape != (len(self.history),):
            raise ModelError(
                f"the collaborative factors are about {len(self.history)} items, its popularity is not",
                value=self.popularity.shape,
                action="Give one popularity estimate for each item",
            )
        if self.factors is not None and (self.factors.ndim != 2 or len(self.factors) != len(self.history)):
            raise ModelError(
                f"the collaborative factors are about {len(self.history)} items, its factors are not",
                value=self.factors.shape,
                action="Give one row of factors for each item",
            )
        if self.ratings is not None and self.ratings.shape != (len(self.history),):
            raise ModelError(
                f"the collaborative factors are about {len(self.history)} items, its ratings are not",
                value=self.ratings.shape,
                action="Give one bias for each item",
            )
        if np.any(self.popularity < 0):
            raise ModelError(
                "a popularity estimate is below zero",
                value=float(self.popularity.min()),
                action="Clip noisy counts at zero before they become CollaborativeFactors",
            )

    @classmethod
    def empty(cls, items: int) -> CollaborativeFactors:
        """The table that says nothing about ``items`` items: every behaviour score is 0."""
        none = np.zeros((items, 0), dtype=np.float32)
        return cls(history=none, candidate=none, popularity=np.zeros(items, dtype=np.float32))

    @property
    def items(self) -> int:
        """How many items the table is about."""
        return len(self.history)

    @property
    def rank(self) -> int:
        """Width of the factors; 0 where there is no co-occurrence."""
        return int(self.history.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays that the table is made of."""
        return (*ARRAYS, *(name for name in (FACTORS, RATINGS) if getattr(self, name) is not None))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The table as named arrays, for a release or a message; `from_arrays` is the inverse."""
        return {name: getattr(self, name) for name in self.names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]]) -> CollaborativeFactors:
        """Build from what `arrays` gave. Raises ModelError on a missing, an unknown or an ill-formed array."""
        if set(arrays) - {FACTORS, RATINGS} != set(ARRAYS):
            raise ModelError(
                "collaborative factors are made of the arrays history, candidate and popularity, and may have factors "
                "and ratings",
                value=sorted(arrays),
                action="Save it with CollaborativeFactors.arrays()",
            )
        return cls(**arrays)


def _float32(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    array = np.asarray(values, dtype=np.float32, order="C")
    if not np.isfinite(array).all():
        raise ModelError(
            f"collaborative.{name} holds a value that is not finite",
            action="Check the ridge and the noise of the sum that it was solved from",
        )
    return array
