"""How a device places its user among item factors by ridge regression."""

from __future__ import annotations

from pydantic import Field

from fedrec.config.base import Settings


class FoldInSettings(Settings):
    """A second reading of the sums: each device places its user among item factors by ridge regression, see
    `fedrec.collaborative.fold_in_factors` and `fedrec.ranking.fold_in`."""

    weight: float = Field(
        default=1.0, ge=0, le=1, description="its share of the collaborative score; the rest is the table's"
    )
    rank: int = Field(
        default=128, ge=1, le=1024, description="numbers an item, which a device downloads and solves for"
    )
    flattening: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="popular items' factors are divided by their mass to this power before the directions are chosen",
    )
    power: float = Field(
        default=0.4, ge=0, le=2, description="how much more the strong directions say than the weak ones, 0 = alike"
    )
    unknown: float = Field(
        default=0.3,
        gt=0,
        le=100,
        description="how much an item that the user did not touch counts, as a wish of 0, beside one that was touched",
    )
    ridge: float = Field(
        default=0.008,
        gt=0,
        le=100,
        description="how strongly a user is held to the middle, beside a mean squared length of items of 1",
    )
