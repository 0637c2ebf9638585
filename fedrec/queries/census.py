"""Query ``census``: how many users have each attribute value of the catalogue in their history.

*What leaves*: a user with the attribute values A (of all items of the history) adds the indicator of A, brought to the
length ``sqrt(values)`` where it is longer: users of more than ``values`` values count less for each.
*What it costs*: a user moves the sum by sqrt(values).  One interaction brings at most m values, the most that one item
has; bringing vectors to a length is a projection, which does not move two of them apart (Rockafellar 1970, section 31),
so it moves the sum by sqrt(m), and by sqrt(2 values) in any case: both vectors are in the ball, and neither is below
zero.
*Who checks it*: a device makes the whole request from its own settings and catalogue; nothing is the server's to say.
*What is made of it*: estimates of zero or above by the name of the value.  They are below the truth for values of users
with many: what was brought to the length is not put back.

It is asked where a config has a section ``[queries.census]``.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from pydantic import Field

from fedrec.config import Config, Settings
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query
from fedrec.queries.request import Broadcast
from fedrec.queries.run_state import RunState


class CensusSettings(Settings):
    """The section ``[queries.census]``."""

    enabled: bool = Field(default=True, description="ask it")
    values: int = Field(default=16, ge=1, le=4096, description="attribute values of a user that count in full")


class Census(Query):
    """Shared half; the device's is `fedrec.queries.device.census`."""

    name = "census"
    encoder = "fedrec.queries.device.census:CensusEncoder"
    default_share = 0.05
    settings_type = CensusSettings

    def rounds(self, config: Config) -> range:
        """Once, as round 0."""
        settings = self.settings(config)
        return range(int(settings is not None and settings.enabled))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """One element an attribute value, each at most 1 a user.

        Raises:
            ConfigError: the catalogue has no attributes.
        """
        if features.labels is None or not features.labels.names:
            raise ConfigError(
                "a census needs a catalogue with attributes, and this one has none",
                value=len(features),
                action="Leave [queries.census] out, or give items categorical columns",
            )
        bound = math.sqrt(self.settings(config).values)
        example = min(math.sqrt(features.labels.most), math.sqrt(2) * bound)
        return PrivateSum.of(
            self.name,
            len(features.labels.names),
            bound,
            rows,
            resolution_bits=config.secure_aggregation.resolution_bits,
            limit=1.0,
            moves=example if config.privacy.unit == "example" else bound,
        )

    def decode(self, state: RunState, noisy: NoisySum) -> dict[str, Any]:
        """The estimates, most frequent first, and the deviation of the noise in each."""
        labels = state.features.labels
        assert labels is not None, "the sum was asked over them"
        counts = np.maximum(noisy.vector, 0.0)
        order = np.argsort(-counts, kind="stable")
        users = {labels.names[place]: float(counts[place]) for place in order}
        return {"deviation": noisy.deviation, "users": users}

    def describe(self, result: dict[str, Any]) -> dict[str, Any]:
        """Deviation and estimates."""
        return result


CENSUS: Final = Census()
