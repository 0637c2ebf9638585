"""What a whole run asks of its devices for one query, and what one batch of users adds to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.client.query_handler import QueryHandler
from fedrec.config import Config
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.local import local_cost
from fedrec.queries.request import Request
from fedrec.server.results import AggregateResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study
from fedrec.testing import federation
from fedrec.training.local_noise import local_noise_of
from fedrec.users import UserBatch


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a whole run asked of its devices for one query, and what it left."""

    requests: tuple[Request, ...]
    results: Mapping[str, Any]
    arrays: Mapping[str, Any]
    ledger: tuple[Any, ...]

    @property
    def last(self) -> Request:
        """The request of the last round: by then parameters and directions are no longer the first ones."""
        return self.requests[-1]

    @classmethod
    def of(cls, query: str, config: Config, study: Study, out: Path) -> Asked:
        """Run, and keep the requests."""
        requests: list[Request] = []

        class Noting(CohortDevices):
            def aggregate(self, request: Request, cohort: Any) -> AggregateResult:
                if request.query == query:
                    requests.append(request)
                return super().aggregate(request, cohort)

        result = federation.run(config, study, out, devices=Noting(config, study.features, study.population))
        with Ledger.open(out / "ledger.sqlite") as ledger:
            rows = tuple(ledger.entries())
        return cls(tuple(requests), result.results, result.collaborative.arrays(), rows)


_studies: dict[str, Study] = {}


def shared_study(factory: pytest.TempPathFactory) -> Study:
    """The shop of all contracts of this process, made once."""
    if "study" not in _studies:
        _studies["study"] = federation.make_study(factory.mktemp("contract") / "shop")
    return _studies["study"]


def contribution(config: Config, study: Study, request: Request, batch: UserBatch) -> tuple[NDArray[np.float64], int]:
    """What the users of a batch add, and of how many rows it is, by the code of a device."""
    handler = _handler(config, study)
    noise = None
    if handler.encoder(request.query).adds_own_noise:
        events = int(batch.histories.lengths.sum())
        noise = local_noise_of(config, request.round, local_cost(config, events, len(batch)), batch)
    return handler.answer(request, batch, noise), handler.rows(request, batch)


_handlers: dict[tuple[str, int], QueryHandler] = {}


def _handler(config: Config, study: Study) -> QueryHandler:
    """Kept, since some encoders build a model; a broken query that changes its settings gets another."""
    name = (config.model_dump_json(), id(study))
    if name not in _handlers:
        _handlers.clear()
        _handlers[name] = QueryHandler(config, study.features)
    return _handlers[name]


def assert_same(one: Any, other: Any) -> None:
    """Equal values, arrays to the last bit, through mappings and dataclasses."""
    if isinstance(one, Mapping):
        assert set(one) == set(other)
        for name in one:
            assert_same(one[name], other[name])
    elif dataclasses.is_dataclass(one) and not isinstance(one, type):
        for part in dataclasses.fields(one):
            assert_same(getattr(one, part.name), getattr(other, part.name))
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other or (one != one and other != other)
