"""The device's half of query ``census``."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from fedrec.content.labels import ItemLabels
from fedrec.errors import ProtocolError
from fedrec.queries.device.encoder import Floats, QueryEncoder
from fedrec.queries.request import Request
from fedrec.users import UserBatch


class CensusEncoder(QueryEncoder):
    """Tells which attribute values are in histories."""

    def check(self, request: Request) -> None:
        """Raises ProtocolError where this catalogue has other attributes, or none."""
        self._labels(request)

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """See `used_values`. Raises ProtocolError where this catalogue has no attributes."""
        return used_values(population, self._labels(request), request.sum.bound)

    def _labels(self, request: Request) -> ItemLabels:
        labels = self.features.labels
        if labels is None or len(labels.names) != request.sum.length:
            raise ProtocolError("a census is asked over other attributes than this catalogue has", value=request.query)
        return labels


def used_values(population: UserBatch, labels: ItemLabels, bound: float) -> Floats:
    """Sum over users of the indicator of their values, each of L2 norm ``bound`` at most; float64 [values]."""
    histories = population.histories
    ones = np.ones(len(histories.items))
    used = sparse.csr_matrix((ones, (histories.owners, histories.items)), shape=(len(population), len(labels)))
    held = sparse.csr_matrix(
        (np.ones(len(labels.places)), labels.places, labels.indptr), shape=(len(labels), len(labels.names))
    )
    having = used @ held
    having.data[:] = 1.0
    counts = np.diff(having.indptr)
    scale = np.minimum(1.0, bound / np.sqrt(np.maximum(counts, 1)))
    return np.asarray(having.T @ scale, dtype=np.float64).reshape(-1)
