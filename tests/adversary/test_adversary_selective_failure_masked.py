"""The same under secure aggregation: a device whose store brings its encoder down is in the sum all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.client import load_population
from fedrec.client.device import Device
from fedrec.client.query_handler import QueryHandler
from fedrec.console import open_reporter
from fedrec.data.store import EventStore
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.server.results import AggregateResult
from fedrec.simulation.engines import grid_devices as engine
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

CONFIG = cases.settings(secure_aggregation={"protocol": "secagg+", "minimum_survivors": 15})
FRAGILE = 3


class CutOff(BaseException):
    """Stands for a kill: nothing catches it."""


@contextmanager
def failing(error: type[BaseException]) -> Iterator[pytest.MonkeyPatch]:
    """One device's store brings its encoder down."""
    right = load_population.load_population

    def loaded(store: EventStore, *rest: Any, **named: Any) -> Any:
        if store.path.name == f"{FRAGILE:05d}.sqlite":
            raise error
        return right(store, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_population, "load_population", loaded)
        yield patch


def asked(study: Study, out: Path) -> AggregateResult:
    with open_reporter(silent=True) as reporter, engine.grid_devices(CONFIG, study, out, reporter) as opened:
        return opened.aggregate(cases.popularity_question(CONFIG, study), range(cases.USERS))


def test_its_contribution_is_zeros_and_everybody_is_in_the_sum(federation_study: Study, tmp_path: Path) -> None:
    with failing(RuntimeError):
        opened = asked(federation_study, tmp_path)
    assert opened.devices == cases.USERS
    others = [place for place in range(cases.USERS) if place != FRAGILE]
    plain = CohortDevices(CONFIG, federation_study.features, federation_study.population)
    expected = plain.aggregate(cases.popularity_question(CONFIG, federation_study), others)
    step = cases.popularity_question(CONFIG, federation_study).sum.resolution
    np.testing.assert_allclose(opened.vector, expected.vector, atol=cases.USERS * step)


def test_without_the_defence_it_is_missed(federation_study: Study, tmp_path: Path) -> None:
    with failing(RuntimeError) as patch:
        patch.setattr(Device, "_told", lambda self, store, request: self._of(store, request, self._collected(store)))
        patch.setattr(QueryHandler, "_part_or_zero", QueryHandler._part)
        assert asked(federation_study, tmp_path).devices == cases.USERS - 1


def test_a_device_that_is_killed_while_it_reckons_has_paid(federation_study: Study, tmp_path: Path) -> None:
    with failing(CutOff), pytest.raises(CutOff):
        asked(federation_study, tmp_path)
    (place,) = tmp_path.rglob(f"{FRAGILE:05d}.sqlite")
    with EventStore.open(place) as store:
        assert [row.query for row in DeviceLedger(store).rows()] == ["popularity"]
