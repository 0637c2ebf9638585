"""What a device answers: from a request and its own users to a bounded contribution, and nothing else.

`QueryHandler` is the same on a phone (one user), in a silo (many) and in a simulated cohort (thousands): it passes each
request on to the encoder of its query, and knows none of them by name.
"""

from __future__ import annotations

import importlib
import logging

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import FedrecError, ProtocolError
from fedrec.queries.device.bounded import bounded
from fedrec.queries.device.encoder import EncoderContext, QueryEncoder
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.training.local_noise import LocalNoise
from fedrec.users import UserBatch

_log = logging.getLogger(__name__)


class QueryHandler:
    """Answers requests about a catalogue under a config; holds no user's data between calls.

    Args:
        config: the run's settings as this device accepted them. What a request asks for beyond them is refused.
        features: the catalogue's features.
    """

    def __init__(self, config: Config, features: Features) -> None:
        self.config = config
        self.features = features
        self._encoders: dict[str, QueryEncoder] = {}

    def encoder(self, query: str) -> QueryEncoder:
        """The device half of a query; made when it is first needed, and kept.

        Raises:
            ConfigError: there is no such query.
        """
        if query not in self._encoders:
            module, _, name = QUERIES[query].encoder.partition(":")
            kind: type[QueryEncoder] = getattr(importlib.import_module(module), name)
            self._encoders[query] = kind(EncoderContext(self.config, self.features))
        return self._encoders[query]

    def rows(self, request: Request, population: UserBatch) -> int:
        """The rows that an answer of this population holds at most."""
        return self.encoder(request.query).rows(request, population)

    def check(self, request: Request) -> None:
        """Hold a request to what can be answered from any history, before any is read; see `QueryEncoder.check`.

        Raises:
            ProtocolError: it cannot be answered, by any device with these settings and this catalogue.
        """
        try:
            self.encoder(request.query).check(request)
        except ProtocolError:
            raise
        except FedrecError as error:
            raise ProtocolError(error.what, value=error.value, action=error.action) from None

    def contribution(
        self, request: Request, population: UserBatch, noise: LocalNoise | None = None
    ) -> NDArray[np.float64]:
        """What a device with these users adds, within the bounds of the sum; float64 [request.sum.length].

        Users are computed one after the other.  So what a user adds is within the bound as it stands, whatever the
        query's encoder made of it, and depends on no other user, not even by the rounding of sums over a batch: a user
        that is replaced by nothing moves the contribution by the bound at most.  A user whose part cannot be computed
        adds zero.

        ``noise``: of a device that adds all noise itself, and is one row; then whatever is raised is raised.
        """
        if noise is not None:
            return self._part(request, population, noise)
        total = np.zeros(request.sum.length)
        for place in range(len(population)):
            total += self._part_or_zero(request, population.take(np.array([place])))
        return total

    def together(self, request: Request, population: UserBatch) -> NDArray[np.float64]:
        """What all these users add, in one vectorised pass; float64 [request.sum.length].

        For simulations: each user's rows are bounded as ever, but how sums over a batch are rounded hangs on who else
        is in it, and one user whose part cannot be computed is an error. Raises as `answer`.
        """
        rows = self.rows(request, population)
        return request.sum.part(bounded(request.sum, self.answer(request, population), rows), rows)

    def _part_or_zero(self, request: Request, user: UserBatch) -> NDArray[np.float64]:
        try:
            return self._part(request, user)
        except Exception as error:  # whatever it is; its text may hold a user's words, so its kind is all that is noted
            _log.error("a user's part could not be computed, and is zero: %s", type(error).__name__)
        return np.zeros(request.sum.length)

    def _part(self, request: Request, one: UserBatch, noise: LocalNoise | None = None) -> NDArray[np.float64]:
        """What one user, or a device that is one row, adds."""
        rows = self.rows(request, one)
        return request.sum.part(bounded(request.sum, self.answer(request, one, noise), rows), rows)

    def answer(self, request: Request, population: UserBatch, noise: LocalNoise | None = None) -> NDArray[np.float64]:
        """The contribution, float64 [request.sum.length], each row within the agreed bound.

        A population that has nothing to say answers with zeros, as long as anybody's answer.

        ``noise``: where the device adds all noise itself; the population is then one device's, and counts as one row.

        Raises:
            ProtocolError: the request lacks what its query needs, or agrees on another bound than the config's.
            ModelError: its arrays do not fit the model.
        """
        population.histories.check(len(self.features))
        encoder = self.encoder(request.query)
        # A row that leads beyond all numbers is zero, and no warning on its way may say whose it was.
        with np.errstate(all="ignore"):
            if noise is None:
                vector = encoder.encode(request, population)
            else:
                vector = encoder.encode_private(request, population, noise)
        if vector.shape != (request.sum.length,):
            raise ProtocolError(
                f"query {request.query} answers with another length than was agreed", value=vector.shape
            )
        return vector
