"""Query ``validation``: how well the tower ranks what devices hold back, so that training can stop in time.

*What leaves*: a user adds two numbers in [0, 1] about where the own validation item stands among public negatives, the
same for everybody and in every round: whether it is in the top 10, and the share of the negatives below it (ties half),
which moves where a hit does not.  A user without a validation item adds zeros.
*What it costs*: both numbers are divided by sqrt(2), so that a row's L2 norm is at most 1.  They are not negative, so
whatever one interaction changes in a row moves the sum by 1 at most, too.
*Who checks it*: parameters are the server's to say; after which round is asked, a device knows from its settings.
*What is made of it*: the mean of both numbers, by which training stops and the best parameters are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.queries import negatives
from fedrec.queries.model_update import accepted_model
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query, Stage
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState

AFTER: Final = "after"
BOUND: Final = 1.0
LENGTH: Final = 2
CANDIDATES: Final = 99
_NO_ROUND: Final = 0


class Validation(Query):
    """Shared half; the device's is `fedrec.queries.device.validation`."""

    name = "validation"
    encoder = "fedrec.queries.device.validation:ValidationEncoder"
    default_share = 0.05
    stage = Stage.TRAINING

    def rounds(self, config: Config) -> range:
        """Rounds 1, 2, ... where the tower is trained with ``training.stopping``."""
        return range(1, len(config.training.validated) + 1) if config.model.tower else range(0)

    def place(self, config: Config, round_number: int) -> tuple[int, ...]:
        """Right after the training round that it is about; of round 0, before all training."""
        return (config.training.validated[round_number - 1], 1)

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """The parameters so far, and what the model is beside them."""
        values = state.training.values.astype(np.float32)
        after = state.config.training.validated[round_number - 1]
        return Broadcast({"parameters": values, **state.carried()}, {AFTER: after})

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """Parameters and what the model is beside them; of what shape, the scorer checks."""
        after = config.training.validated[request.round - 1]
        return Broadcast(accepted_model(config, request, len(features)), {AFTER: after})

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """Two elements, each at most 1 / sqrt(2) a user."""
        bits = config.secure_aggregation.resolution_bits
        return PrivateSum.of(self.name, LENGTH, BOUND, rows, resolution_bits=bits, limit=BOUND / math.sqrt(LENGTH))

    def decode(self, state: RunState, noisy: NoisySum) -> float:
        """The measure: mean of both numbers over all users, with the sum's noise; not held inside [0, 1].

        Users without a validation item count 0 in it; they are the same ones in every round.
        """
        measure = float(noisy.vector.sum() * math.sqrt(LENGTH) / (LENGTH * state.users))
        state.stopping.record(measure, state.training.values)
        return measure

    def checkpoint(self, state: RunState) -> Mapping[str, NDArray[Any]]:
        """What was measured so far, and the best parameters."""
        return {"measures": np.array(state.stopping.measures, np.float64), "best": state.stopping.values}

    def restore(self, state: RunState, arrays: Mapping[str, NDArray[Any]]) -> int:
        """Take up what was measured."""
        state.stopping.measures = [float(measure) for measure in arrays["measures"]]
        state.stopping.values = np.asarray(arrays["best"])
        state.results[self.name] = state.stopping.measures[-1]
        return len(state.stopping.measures)

    def over(self, state: RunState, round_number: int) -> bool:
        """Whether training was stopped before this round."""
        return state.stopping.over


def pool(config: Config, catalogue: int) -> NDArray[np.int32]:
    """Places of the public negatives: always the same, so that measures of different rounds can be compared."""
    return negatives.uniform(config.run.seed, _NO_ROUND, catalogue, CANDIDATES)


VALIDATION: Final = Validation()
