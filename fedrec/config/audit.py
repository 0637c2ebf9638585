"""Whether a simulated run tests its own claim."""

from __future__ import annotations

from pydantic import Field, model_validator

from fedrec.config.base import Settings


class AuditSettings(Settings):
    """Whether a simulated run tests its own claim (engine ``cohort``, with ``privacy.epsilon``).

    Canaries take part in every sum as the worst row could, so they change the model a little and cost nobody's
    privacy; of a release that others use, train it without.
    """

    canaries: int = Field(
        default=0,
        ge=0,
        le=20_000,
        description="rows that are added to the population, each in or out by a fair coin; 0 = none, else 16 or more. "
        "No more than the catalogue has items disturb each other least",
    )
    confidence: float = Field(default=0.95, ge=0.5, lt=1, description="confidence of the lower bounds on epsilon")

    @model_validator(mode="after")
    def _enough(self) -> AuditSettings:
        if 0 < self.canaries < 16:
            raise ValueError("audit.canaries below 16 can show nothing; use some hundreds")
        return self
