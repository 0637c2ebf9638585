"""Query ``popularity``: how much each item is used, each user's part of unit L2 norm.

*What leaves*: a user with the items x adds x / sqrt(|x|): whoever used much does not count for more than the bound of
1.
*What it costs*: changing one interaction of a user with n of them moves the part by sqrt(1/n + (1 - sqrt(1 - 1/n))^2)
<= 1, so the same bound holds for both privacy units.  With a short-history weighting m, users of fewer than m items add
x / sqrt(m): then one interaction moves a part by 1 / sqrt(m) at most: by that below m, and by sqrt(2 - 2 sqrt(1 -
1/n)), which is less, from n = m + 1 on (`example_bound`).
With weights by rating (``collaborative.ratings.weight``) x holds weights w in (0, 1] in place of ones and the part is
w / sqrt(max(sum of w^2, m)): its norm is 1 at most whatever the ratings, so a user moves the sum by 1 as before.  An
interaction does not: next to low weights, a high one that is taken away turns the part by up to sqrt(2).  So settings
refuse weights where one interaction is what is protected.
With ``collaborative.popularity_buckets`` the part is hashed into three tables of so many buckets and clipped to the
same bound; users only, as a clip of what shares buckets may turn a part further than one interaction did.
*Who checks it*: a device makes the whole request from its own settings; nothing of it is the server's to say.
*What is made of it*: estimates that are not below zero; of buckets, by `fedrec.collaborative.hashed_counts`, which says
how far they are off; with ``collaborative.shrink_popularity`` posterior means (`fedrec.collaborative.shrunk_counts`).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.hashed_counts import TABLES, counts_of, deviation_of
from fedrec.collaborative.reading import PaidSums
from fedrec.collaborative.shrunk_counts import shrunk_counts
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query
from fedrec.queries.request import Broadcast
from fedrec.queries.run_state import RunState

BOUND: Final = 1.0


class Popularity(Query):
    """Shared half; the device's is `fedrec.queries.device.popularity`."""

    name = "popularity"
    encoder = "fedrec.queries.device.popularity:PopularityEncoder"
    default_share = 0.1

    def rounds(self, config: Config) -> range:
        """Once, as round 0, where ``collaborative.popularity`` is set."""
        return range(int(config.collaborative.popularity))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """Over the catalogue, one element an item; or a bucket, where there are any."""
        buckets = config.collaborative.popularity_buckets
        example = config.privacy.unit == "example"
        return PrivateSum.of(
            self.name,
            TABLES * buckets or len(features),
            BOUND,
            rows,
            resolution_bits=config.secure_aggregation.resolution_bits,
            moves=example_bound(config.collaborative.short_history_weighting) if example else BOUND,
        )

    def decode(self, state: RunState, noisy: NoisySum) -> NDArray[np.float64]:
        """Estimates of zero or above, float64 [items]; the run's collaborative factors begin with them."""
        estimates, deviation = noisy.vector, noisy.deviation
        if state.config.collaborative.popularity_buckets:
            estimates, deviation = counts_of(estimates, len(state.features)), deviation_of(estimates, deviation)
        shrink = state.config.collaborative.shrink_popularity
        counts = shrunk_counts(estimates, deviation) if shrink else np.maximum(estimates, 0.0)
        state.sums = PaidSums(counts)
        state.read_sums()
        state.popularity_deviation = deviation
        return counts


def example_bound(short_history_weighting: int) -> float:
    """Most by which one interaction moves a user's part, L2, of popularity and of co-occurrence alike."""
    return 1.0 / math.sqrt(max(short_history_weighting, 1))


POPULARITY: Final = Popularity()
