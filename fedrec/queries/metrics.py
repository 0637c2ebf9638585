"""Query ``metrics``: how well the finished model ranks what devices held out, as a private sum of per-user metrics.

*What leaves*: a user adds (HR@10, NDCG@10, 1), each in [0, 1], of the held-out item against all that the user has not
touched; a user without one adds zeros.
*What it costs*: a row's L2 norm is at most sqrt(3), and that is what a user or an interaction moves the sum by.
*Who checks it*: what is scored with is the server's to say; of what shape, the scorer checks.
*What is made of it*: both means, held inside [0, 1]; None where noise leaves no users to divide by.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from fedrec.collaborative.collaborative_factors import ARRAYS, FACTORS
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ProtocolError
from fedrec.queries import chosen
from fedrec.queries.model_update import accepted_model
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query, Stage
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState

NAMES: Final = ("hr@10", "ndcg@10", "users")
BOUND: Final = math.sqrt(len(NAMES))


class Metrics(Query):
    """Shared half; the device's is `fedrec.queries.device.metrics`."""

    name = "metrics"
    encoder = "fedrec.queries.device.metrics:MetricsEncoder"
    default_share = 0.05
    stage = Stage.FINAL
    measures_quality = True

    def rounds(self, config: Config) -> range:
        """Once, as the round after the last of training, where ``evaluation.private_metrics`` is set."""
        last = config.training.rounds
        return range(last + 1, last + 1 + int(config.evaluation.private_metrics))

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """What a device ranks with, and what was chosen, where anything was."""
        return Broadcast(state.scored_with(), state.told())

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """Collaborative factors, and the model where there is a tower; all of what these settings lead to, in float32.

        Raises:
            ProtocolError: an array is missing or of another type, factors are not over this catalogue, or what was
                chosen is no candidate.
        """
        collaborative = chosen.settled(config, request).collaborative
        wanted = ARRAYS if collaborative.fold_in is None else (*ARRAYS, FACTORS)
        arrays = {name: request.arrays[name] for name in wanted if name in request.arrays}
        for name in wanted:
            table = arrays.get(name)
            if table is None or table.dtype != np.float32 or table.shape[:1] != (len(features),):
                raise ProtocolError(f"a request lacks its table {name!r}, over this catalogue", value=request.query)
        model = accepted_model(config, request, len(features)) if config.model.tower else {}
        return Broadcast({**arrays, **model}, chosen.accepted(config, request))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """Three elements, each at most 1 a user."""
        bits = config.secure_aggregation.resolution_bits
        return PrivateSum.of(self.name, len(NAMES), BOUND, rows, resolution_bits=bits, limit=1.0)

    def decode(self, state: RunState, noisy: NoisySum) -> dict[str, float | None]:
        """Mean HR@10 and NDCG@10."""
        users = float(noisy.vector[-1])
        if users < 1:
            return dict.fromkeys(NAMES[:2])
        return {name: float(np.clip(noisy.vector[at] / users, 0, 1)) for at, name in enumerate(NAMES[:2])}

    def describe(self, result: dict[str, Any]) -> dict[str, Any]:
        """The means."""
        return dict(result)


METRICS: Final = Metrics()
