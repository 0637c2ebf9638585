"""Canaries in the cohort engine: users like any other, whose parts are as large as a bound allows and no larger."""

from __future__ import annotations

from typing import Any

import federation_cases as cases
import numpy as np
import pytest
import query_cases

from fedrec.audit import expected
from fedrec.audit.canaries import Canaries
from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.queries.request import Request
from fedrec.simulation.engines.audited import AuditedDevices, CanaryHandler, with_canaries
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

COUNT = 60
USER = cases.settings(evaluation={"private_metrics": False})
EXAMPLE = cases.settings(
    privacy={"unit": "example"},
    model={"notes": False, "photos": False},
    training={"examples": 4},
    evaluation={"private_metrics": False},
)


def canaries(study: Study, **changed: Any) -> Canaries:
    drawn = Canaries.draw(COUNT, len(study.features.ids), 5)
    kept = {name: getattr(drawn, name) for name in ("keys", "included", "histories", "secret")}
    return Canaries(**(kept | changed))


def requests(config: Config, study: Study, rows: int) -> dict[str, Request]:
    count = len(study.features)
    values = parameters.flatten(build_model(config, study.features))
    return {
        "popularity": query_cases.popularity(config, count, rows),
        "cooccurrence": query_cases.cooccurrence(config, np.arange(0, count, 2, dtype=np.int64), count, rows),
        "training": query_cases.training(config, 1, values, count, rows * config.training.examples),
    }


@pytest.mark.parametrize("config", [USER, EXAMPLE], ids=["user", "example"])
@pytest.mark.parametrize("query", ["popularity", "cooccurrence", "training"])
def test_a_sum_is_the_real_one_and_the_canaries(config: Config, query: str, federation_study: Study) -> None:
    study = federation_study
    mine = canaries(study)
    devices = AuditedDevices(config, study.features, study.population, mine)
    assert devices.size == devices.users == cases.USERS + COUNT
    request = requests(config, study, devices.users)[query]
    opened = devices.aggregate(request, range(devices.size)).vector
    sight = devices.handler.sights[(query, request.round)]
    assert sight.asked.all()
    agreed = request.sum
    parts = {
        "popularity": lambda: expected.in_popularity(mine, len(study.features.ids), agreed.bound),
        "cooccurrence": lambda: expected.in_cooccurrence(
            mine, request.arrays["items"], len(study.features.ids), agreed.bound
        ),
        "training": lambda: expected.in_training(mine, agreed.length, agreed.bound, request.round),
    }[query]()
    step = agreed.resolution
    assert np.abs(opened - sight.rest - parts[mine.included].sum(axis=0)).max() <= 2 * step
    norms = np.sqrt(np.asarray(parts.multiply(parts).sum(axis=1)))
    assert norms.max() == pytest.approx(agreed.bound)
    if not (query == "training" and config is EXAMPLE):
        real = CohortDevices(config, study.features, study.population).aggregate(request, range(cases.USERS)).vector
        assert np.abs(sight.rest - real).max() <= step


def test_turning_one_coin_moves_no_sum_by_more_than_its_bound(federation_study: Study) -> None:
    """Both units, every query: what differential privacy's neighbours are, and nothing of real users changes."""
    for config in (USER, EXAMPLE):
        drawn = canaries(federation_study)
        turned = drawn.included.copy()
        turned[7] = not turned[7]
        for name, request in requests(config, federation_study, cases.USERS + COUNT).items():
            sums = []
            for coins in (drawn.included, turned):
                mine = canaries(federation_study, included=coins)
                devices = AuditedDevices(config, federation_study.features, federation_study.population, mine)
                sums.append(devices.aggregate(request, range(devices.size)).vector)
            moved = float(np.linalg.norm(sums[0] - sums[1]))
            assert moved <= request.sum.sensitivity * (1 + 1e-5), (name, config.privacy.unit)


def test_canaries_that_are_not_asked_add_nothing(federation_study: Study) -> None:
    devices = AuditedDevices(USER, federation_study.features, federation_study.population, canaries(federation_study))
    request = requests(USER, federation_study, devices.users)["training"]
    asked = [0, 3, cases.USERS + 1, cases.USERS + 5]
    opened = devices.aggregate(request, asked).vector
    sight = devices.handler.sights[("training", 1)]
    assert np.flatnonzero(sight.asked).tolist() == [1, 5]
    parts = expected.in_training(devices.canaries, request.sum.length, request.sum.bound, 1)
    those = [place for place in (1, 5) if devices.canaries.included[place]]
    assert (
        np.abs(opened - sight.rest - np.asarray(parts[those].sum(axis=0)).ravel()).max() <= 2 * request.sum.resolution
    )


def test_a_canary_cannot_take_a_users_key(federation_study: Study) -> None:
    keys = canaries(federation_study).keys.copy()
    keys[3] = federation_study.population.keys[0]
    with pytest.raises(ConfigError, match="name of a canary"):
        with_canaries(federation_study.population, canaries(federation_study, keys=keys))


def test_real_users_notes_and_photos_stay_theirs(federation_study: Study) -> None:
    everybody = with_canaries(federation_study.population, canaries(federation_study))
    back = everybody.take(np.arange(cases.USERS))
    assert np.array_equal(back.histories.items, federation_study.population.histories.items)
    assert back.notes is not None
    assert federation_study.population.notes is not None
    assert np.array_equal(back.notes.values, federation_study.population.notes.values)
    mine = everybody.take(np.arange(cases.USERS, len(everybody)))
    assert mine.notes is not None
    assert not len(mine.notes.values)
    assert isinstance(CanaryHandler(USER, federation_study.features, canaries(federation_study)).sights, dict)
