"""Engine ``cohort`` with canaries among its users: for testing what a run claims about itself.

A canary is a user like any other to sampling, sums, noise and ledger.  Its history is its own items, empty where its
coin said "out" (or the base that all canaries have), so popularity, co-occurrence, directions and factors are answered
by the code that answers for everybody.  In a model update its raw gradient is given: many times the clip, in the
canary's own direction, and then clipped by the code that clips everybody's.  With unit ``example`` a canary is an
interaction that joins a row of another one and turns that row's gradient around, which is as far as one interaction
can move a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.audit import expected
from fedrec.audit.canaries import Canaries
from fedrec.client.query_handler import QueryHandler
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError
from fedrec.model.clock import UNKNOWN
from fedrec.queries.device.model_update import ModelUpdateEncoder
from fedrec.queries.model_update import MODEL_UPDATE
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.training.local_noise import LocalNoise
from fedrec.users import Histories, OwnContent, UserBatch

# How far beyond the clip a canary's raw gradient is: a clip that does not clip shows at once.
RAW_NORM = 10.0


@dataclass(frozen=True, eq=False)
class AuditorView:
    """What an auditor may know of a sum: all that was added but the canaries' secret, and which of them were asked.

    ``rest``: float64 [length], the real rows' part and what does not depend on a coin.  ``asked``: bool [m].
    """

    rest: NDArray[np.float64]
    asked: NDArray[np.bool_]


class CanaryHandler(QueryHandler):
    """Answers for real users and canaries together; ``sights`` keeps the last answer's part that is no secret."""

    def __init__(self, config: Config, features: Features, canaries: Canaries) -> None:
        super().__init__(config, features)
        self.canaries = canaries
        self.sights: dict[tuple[str, int], AuditorView] = {}
        self._order = np.argsort(canaries.keys)

    def answer(self, request: Request, population: UserBatch, noise: LocalNoise | None = None) -> NDArray[np.float64]:
        """As `QueryHandler.answer`, over real rows and canaries."""
        place = self._places(population)
        mine = place[place >= 0]
        rest = super().answer(request, population.take(np.flatnonzero(place < 0)))
        if QUERIES[request.query] is MODEL_UPDATE:
            own, known = self._of_training(request, mine)
            rest = rest + known
        else:
            canaries = population.take(np.flatnonzero(place >= 0))
            own = super().answer(request, canaries)
            if len(self.canaries.base):
                known = super().answer(request, self._without_secret(canaries))
                rest, own = rest + known, own - known
        asked = np.zeros(len(self.canaries), dtype=np.bool_)
        asked[mine] = True
        self.sights = {(request.query, request.round): AuditorView(rest, asked)}
        return rest + own

    def _of_training(self, request: Request, mine: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """What canaries add to a model update, as (what hangs on their coins, what does not)."""
        length, bound, number = request.sum.length, request.sum.bound, request.round
        directions = expected.in_training(self.canaries, length, bound, number)
        included = self.canaries.included[mine]
        if self.config.privacy.unit == "user":
            return self.clipped(directions[mine[included]]), np.zeros(length)
        signs = np.where(included, 1.0, -1.0)
        out = -directions[mine].sum(axis=0) / 2
        known = np.asarray(out, dtype=np.float64).ravel()
        return self.clipped(directions[mine].multiply(signs[:, None]).tocsr()) - known, known

    def clipped(self, rows: sparse.csr_matrix) -> NDArray[np.float64]:
        """The canaries' raw gradients, each far beyond the clip, through the clip of real rows; their sum."""
        import torch  # here, since a run without a tower needs none

        encoder = self.encoder(MODEL_UPDATE.name)
        assert isinstance(encoder, ModelUpdateEncoder)
        learner = encoder.learner()
        total = np.zeros(rows.shape[1])
        for start in range(0, rows.shape[0], self.config.speed.batch_rows):
            raw = RAW_NORM * rows[start : start + self.config.speed.batch_rows].toarray()
            total += learner.gradients.clip(torch.from_numpy(raw)).numpy()
        return total

    def _without_secret(self, canaries: UserBatch) -> UserBatch:
        """The canaries as they are if every coin says "out"."""
        base = self.canaries.base
        items, indptr = np.tile(base, len(canaries)), np.arange(len(canaries) + 1, dtype=np.int64) * len(base)
        times = None if canaries.times is None else np.full(len(items), UNKNOWN)
        return replace(canaries, histories=Histories(indptr, items), times=times)

    def _places(self, population: UserBatch) -> NDArray[np.int64]:
        """The number of the canary that each row is; -1 for real rows."""
        keys = self.canaries.keys[self._order]
        found = np.minimum(np.searchsorted(keys, population.sampling_keys), len(keys) - 1)
        return np.where(keys[found] == population.sampling_keys, self._order[found], -1)


class AuditedDevices(CohortDevices):
    """One device a user and one a canary, all of them in this process."""

    def __init__(self, config: Config, features: Features, population: UserBatch, canaries: Canaries) -> None:
        super().__init__(config, features, with_canaries(population, canaries))
        self.canaries = canaries
        self.handler: CanaryHandler = CanaryHandler(config, features, canaries)


def with_canaries(population: UserBatch, canaries: Canaries) -> UserBatch:
    """The population with one user a canary at its end; those that are out have the base only, most often nothing.

    Raises:
        ConfigError: the canaries are of a larger catalogue, or one has a real user's key.
    """
    if np.isin(canaries.keys, population.sampling_keys).any():
        raise ConfigError("a user of the data has the name of a canary", action="Rename users 'fedrec canary ...'")
    histories = [
        np.concatenate([canaries.base, own] if there else [canaries.base])
        for own, there in zip(canaries.histories, canaries.included, strict=True)
    ]
    counts = np.array([len(history) for history in histories])
    real = population.histories
    everybody = Histories(
        np.concatenate([real.indptr, real.indptr[-1] + np.cumsum(counts)]).astype(np.int64),
        np.concatenate([real.items, *histories]).astype(np.int32),
    )
    return replace(
        population,
        keys=np.concatenate([population.sampling_keys, canaries.keys]),
        histories=everybody,
        held_out=np.concatenate([population.targets, np.full(len(canaries), -1, np.int32)]),
        notes=_longer(population.notes, len(canaries)),
        photos=_longer(population.photos, len(canaries)),
        times=None if population.times is None else np.append(population.times, np.full(int(counts.sum()), UNKNOWN)),
        rated=None if population.rated is None else population.rated.longer(len(canaries)),
    )


def _longer(pieces: OwnContent | None, by: int) -> OwnContent | None:
    if pieces is None:
        return None
    return replace(pieces, indptr=np.concatenate([pieces.indptr, np.full(by, pieces.indptr[-1])]))
