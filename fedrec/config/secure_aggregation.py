"""How sums are opened, and what devices insist on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fedrec.config.base import Settings

Protocol = Literal["auto", "none", "secagg+"]


class SecureAggregationSettings(Settings):
    """How sums are opened. ``none``: the server sees each contribution, and every output says so. ``secagg+``: it sees
    masked vectors only, and opens sums over many. ``auto``: see `with_protocol`.

    What devices insist on: ``minimum_cohort`` and ``minimum_survivors``; neighbours and threshold that hold to
    2^-``security`` if ``corrupt``, ``dropout`` and ``colluding`` are the shares of devices that they say;
    ``rounds_a_day``; ``attempts`` at one round.  ``neighbours`` and ``threshold`` are chosen by the cohort's size where
    they are 0; whatever is set, devices refuse what does not hold.
    """

    protocol: Protocol = "auto"
    resolution_bits: int | None = Field(
        default=None, ge=8, le=40, description="bits below what one row adds to an element; null = as few as are enough"
    )
    rotate: bool = Field(default=True, description="rotate model updates, so that fewer bits an element are enough")
    minimum_cohort: int = Field(default=20, ge=2, le=2**20)
    minimum_survivors: int = Field(default=15, ge=2, le=2**20)
    neighbours: int = Field(default=0, ge=0, le=2**20)
    threshold: int = Field(default=0, ge=0, le=2**20)
    corrupt: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    colluding: float = Field(default=0.0, ge=0, lt=1)
    security: float = Field(default=40.0, gt=0, le=256, description="bits")
    rounds_a_day: int = Field(default=1000, ge=1)
    attempts: int = Field(default=3, ge=1, le=255)

    @model_validator(mode="after")
    def _floors_fit(self) -> SecureAggregationSettings:
        if self.minimum_survivors > self.minimum_cohort:
            raise ValueError("secure_aggregation.minimum_survivors is above minimum_cohort")
        if bool(self.neighbours) != bool(self.threshold) or self.threshold > self.neighbours:
            raise ValueError("secure_aggregation.neighbours and threshold are set together, the threshold no higher")
        if self.corrupt + self.dropout >= 1:
            raise ValueError("secure_aggregation.corrupt and dropout are shares that leave somebody")
        return self
