"""Query ``ratings``: how much better or worse than its user's mean each item was rated.

*What leaves*: a user who rated n items adds, for each of them, (t, 1) / sqrt(2 n): t is the rating less the mean of the
user's own ratings, in halves of the range of ratings, held inside [-1, 1].  The mean itself stays on the device, which
needs it to predict.
*What it costs*: the part's L2 norm is sqrt((mean of t^2 + 1) / 2) <= 1 whatever the user rated, and that is what a user
moves the sum by; users only, since one rating moves the mean and so all others.
*Who checks it*: a device makes the whole request from its own settings; nothing of it is the server's to say.
*What is made of it*: each item's bias, shrunk by the noise that is known to be in it, see
`fedrec.collaborative.item_biases`.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.item_biases import item_biases
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query
from fedrec.queries.request import Broadcast
from fedrec.queries.run_state import RunState

BOUND: Final = 1.0


class Ratings(Query):
    """Shared half; the device's is `fedrec.queries.device.ratings`."""

    name = "ratings"
    encoder = "fedrec.queries.device.ratings:RatingsEncoder"
    default_share = 0.1

    def rounds(self, config: Config) -> range:
        """Once, as round 0, where ``collaborative.ratings.predict`` is set."""
        return range(int(config.collaborative.ratings.predict))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """Two elements an item: deviations of all items, then how many rated each; each at most sqrt(1/2) a user."""
        return PrivateSum.of(
            self.name,
            2 * len(features),
            BOUND,
            rows,
            resolution_bits=config.secure_aggregation.resolution_bits,
            limit=math.sqrt(0.5),
        )

    def decode(self, state: RunState, noisy: NoisySum) -> NDArray[np.float64]:
        """Biases of the items in ratings, float64 [items]; the run's release holds them."""
        deviations, counts = math.sqrt(2) * noisy.vector.reshape(2, -1)
        settings = state.config.collaborative.ratings
        biases = item_biases(deviations, counts, math.sqrt(2) * noisy.deviation)
        state.item_ratings = (biases * (settings.highest - settings.lowest) / 2).astype(np.float32)
        return biases

    def describe(self, result: NDArray[np.float64]) -> dict[str, Any]:
        """How far items lie apart, in halves of the range of ratings."""
        return {"deviation of biases": float(result.std()), "items with a bias": int((result != 0).sum())}


RATINGS: Final = Ratings()
