"""What a device takes of its own events."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedrec.config.base import Settings


class DataSettings(Settings):
    """What counts as a choice among what a user did; see `fedrec.data.ratings`."""

    positive_ratings: Literal["all"] | float = Field(
        default="all",
        description="which events are positive: all, or those rated so high or higher. An event without a rating is "
        "positive; what is not neither trains as one nor is held out, and is never recommended again",
    )
