"""The device's half of a query: from a device's users to a bounded contribution, and nothing else.

An encoder is the same on a phone (one user), in a silo (many) and in a simulated cohort (thousands): it sums over the
rows of the population it is given, and bounds each of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import PrivacyError
from fedrec.queries.request import Request
from fedrec.training.local_noise import LocalNoise
from fedrec.users import UserBatch

if TYPE_CHECKING:
    from fedrec.training.update import Update

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EncoderContext:
    """What encoders know beside a request: the settings that the device accepted, and the catalogue. Nobody's data."""

    config: Config
    features: Features


class QueryEncoder(ABC):
    """Encodes contributions to one query; holds no user's data between calls.

    Args:
        context: of the process.
    """

    def __init__(self, context: EncoderContext) -> None:
        self.config, self.features = context.config, context.features

    def rows(self, request: Request, population: UserBatch) -> int:
        """The rows that a contribution of this population holds at most, at least 1."""
        return max(1, len(population))

    def check(self, request: Request) -> None:  # noqa: B027  # a query that is told nothing has nothing to check
        """Hold what a request says to what can be computed with any history, on public data alone.

        Called before a user's data is touched; afterwards `encode` fails for no history.  What is reckoned for it is
        kept for `encode`.

        Raises:
            ProtocolError: it cannot, for every device alike.
            ModelError: its arrays do not fit the model.
        """

    @abstractmethod
    def encode(self, request: Request, population: UserBatch) -> Floats:
        """The contribution, float64 [request.sum.length], each row within ``request.sum.bound``.

        A population that has nothing to say gives zeros, as long as anybody's.  What leaves the device, in length, kind
        and number, is the same for every population: a row that cannot be computed is zero.

        Raises:
            ProtocolError: the request's arrays are not what this query needs, whatever the population holds.
            ModelError: they do not fit the model.
        """

    @property
    def adds_own_noise(self) -> bool:
        """Whether a device makes its contribution private by itself, one device at a time (`encode_private`)."""
        return False

    def encode_private(self, request: Request, device: UserBatch, noise: LocalNoise) -> Floats:
        """The contribution of one device with all its noise, as one row within the bound.

        Raises:
            PrivacyError: this query knows no such noise.
        """
        raise PrivacyError("a device cannot add all noise to this query by itself", value=request.query)

    @property
    def last_update(self) -> Update | None:
        """Loss and clipped rows of the last contribution, for the simulator; never sent."""
        return None
