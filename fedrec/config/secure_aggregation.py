"""How sums are opened, and what devices insist on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fedrec.config.base import Settings

Protocol = Literal["auto", "none", "secagg+"]


class SecureAggregationSettings(Settings):
    """How sums are opened, and what devices insist on: neighbours and threshold that hold to 2^-``security`` if
    ``corrupt``, ``dropout`` and ``colluding`` are the shares of devices that they say. Whatever is set, devices refuse
    what does not hold."""

    protocol: Protocol = Field(
        default="auto",
        description="none: the server sees each contribution, and every output says so. secagg+: it sees masked "
        "vectors only, and opens sums over many. auto: secagg+ in every engine that sends messages, none in engine "
        "cohort",
    )
    resolution_bits: int | None = Field(
        default=None,
        ge=8,
        le=40,
        description="bits below what one row adds to an element (null = as few as are enough)",
    )
    rotate: bool = Field(default=True, description="rotate model updates, so that fewer bits an element are enough")
    minimum_cohort: int = Field(default=20, ge=2, le=2**20, description="fewest devices asked that a device joins")
    minimum_survivors: int = Field(
        default=15, ge=2, le=2**20, description="fewest devices in a sum that a device helps to open"
    )
    neighbours: int = Field(
        default=0, ge=0, le=2**20, description="devices that each shares its secrets with (0 = by the cohort's size)"
    )
    threshold: int = Field(
        default=0, ge=0, le=2**20, description="neighbours that open a secret together (0 = by the cohort's size)"
    )
    corrupt: float = Field(
        default=0.1, ge=0, lt=1, description="share of the roster that tells an honest but curious server all it knows"
    )
    dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the devices asked that may be missing from a sum: with more missing devices refuse it",
    )
    colluding: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="share of the roster that helps a server which departs from the protocol as it likes",
    )
    security: float = Field(
        default=40.0, gt=0, le=256, description="what neighbours and threshold hold to, in bits: 2^-security"
    )
    rounds_a_day: int = Field(default=1000, ge=1, description="sums that a device takes part in within 24 hours")
    attempts: int = Field(default=3, ge=1, le=255, description="attempts at one sum that a device takes part in")

    @model_validator(mode="after")
    def _thresholds_fit(self) -> SecureAggregationSettings:
        if self.minimum_survivors > self.minimum_cohort:
            raise ValueError("secure_aggregation.minimum_survivors is above minimum_cohort")
        if bool(self.neighbours) != bool(self.threshold) or self.threshold > self.neighbours:
            raise ValueError("secure_aggregation.neighbours and threshold are set together, the threshold no higher")
        if self.corrupt + self.dropout >= 1:
            raise ValueError("secure_aggregation.corrupt and dropout are shares that leave somebody")
        return self
