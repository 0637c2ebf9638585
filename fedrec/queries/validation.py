"""Query ``validation``: how well the tower ranks what devices hold back, so that training can stop in time.

A user adds two numbers in [0, 1] about where the own validation item stands among public negatives, the same for
everybody and for every request: whether it is in the top 10, and the share of the negatives below it (ties half),
which moves where a hit does not.  Both are divided by sqrt(2), so that a row's L2 norm is at most 1.  A user without a
validation item adds zeros.  A row's numbers are not negative, so whatever one interaction changes in a row moves the
sum by 1 at most, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.queries import negatives
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request

AFTER: Final = "after"
BOUND: Final = 1.0
LENGTH: Final = 2
CANDIDATES: Final = 99
_NO_ROUND: Final = 0


def ask(
    config: Config,
    number: int,
    parameters: NDArray[np.float32],
    rows: int,
    carried: Mapping[str, NDArray[Any]] | None = None,
) -> Request:
    """Request ``number``, from 1, about the parameters after the round that the settings ask it after.

    ``carried``: see `model_update.ask`.
    """
    bits = config.secure_aggregation.resolution_bits
    agreed = PrivateSum.of("validation", LENGTH, BOUND, rows, resolution_bits=bits, limit=BOUND / math.sqrt(LENGTH))
    after = config.training.validated[number - 1]
    return Request(
        "validation", number, agreed, arrays={"parameters": parameters, **(carried or {})}, settings={AFTER: after}
    )


def pool(config: Config, catalogue: int) -> NDArray[np.int32]:
    """Places of the public negatives: always the same, so that measures of different rounds can be compared."""
    return negatives.uniform(config.run.seed, _NO_ROUND, catalogue, CANDIDATES)


def read(opened: NDArray[np.float64], users: int) -> float:
    """The measure: mean of both numbers over all ``users``, with the sum's noise; not held inside [0, 1].

    Users without a validation item count 0 in it; they are the same ones in every request.
    """
    return float(opened.sum() * math.sqrt(LENGTH) / (LENGTH * users))
