"""How a device places its user among item factors by ridge regression."""

from __future__ import annotations

from pydantic import Field

from fedrec.config.base import Settings


class FoldInSettings(Settings):
    """A second reading of the sums, see `fedrec.collaborative.fold_in_factors` and `fedrec.ranking.fold_in`.

    ``weight``: its share of the behaviour score, 0 to 1; the rest is the table's.
    ``rank``: numbers an item, which a device downloads and solves for.
    ``flattening``: popular items' factors are divided by their mass to this power before the directions are chosen.
    ``power``: how much more the strong directions say than the weak ones, 0 = alike.
    ``unknown``: how much an item that the user did not touch counts, as a wish of 0, beside one that was touched.
    ``ridge``: how strongly a user is held to the middle, beside a mean squared length of items of 1.
    """

    weight: float = Field(default=1.0, ge=0, le=1)
    rank: int = Field(default=128, ge=1, le=1024)
    flattening: float = Field(default=0.4, ge=0, le=1)
    power: float = Field(default=0.4, ge=0, le=2)
    unknown: float = Field(default=0.3, gt=0, le=100)
    ridge: float = Field(default=0.008, gt=0, le=100)
