"""Further ways of training through both engines: what devices are asked, they agree to, and the models are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.console import open_reporter
from fedrec.model import parameters
from fedrec.queries import negatives
from fedrec.server.results import RoundEvent, RunResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

SHARES = {"popularity": 0.1, "cooccurrence": 0.3, "training": 0.4, "validation": 0.1, "metrics": 0.1}
MOST: dict[str, dict[str, Any]] = {
    "training": {
        "correction": True,
        "augment": 0.2,
        "schedule": "cosine",
        "warmup": 1,
        "stopping": {"every": 2, "patience": 5},
    },
    "privacy": {"shares": SHARES, "groups": {"encoders": 0.8, "rest": 0.2}},
}
SECURE = {"protocol": "secagg+", "minimum_cohort": 8, "minimum_survivors": 6}


def both(changes: dict[str, dict[str, Any]], study: Study, out: Path) -> tuple[list[RunResult], list[list[RoundEvent]]]:
    config = cases.settings(**changes)
    steps: list[list[RoundEvent]] = [[], []]
    vectorised = CohortDevices(config, study.features, study.population)
    first = cases.run(config, study, vectorised, out / "cohort", steps[0].append)
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, study, out / "devices", reporter) as devices,
    ):
        second = cases.run(config, study, devices, out / "grid", steps[1].append)
    asked = [[(step.request.query, step.request.round) for step in steps_] for steps_ in steps]
    assert asked[0] == asked[1]
    assert all(step.opened.devices == step.cohort == cases.USERS for step in steps[1])
    return [first, second], steps


def test_engines_agree_on_all_that_training_can_do(federation_study: Study, tmp_path: Path) -> None:
    outcomes, steps = both(MOST, federation_study, tmp_path)
    ours, theirs = (parameters.flatten(outcome.model) for outcome in outcomes if outcome.model is not None)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)
    queries = [(step.request.query, step.request.round) for step in steps[0]]
    trained = [("training", 1), ("training", 2), ("validation", 1), ("training", 3), ("validation", 2)]
    assert queries == [("popularity", 0), ("cooccurrence", 0), *trained, ("metrics", 4)]
    first, second = (outcome.validation for outcome in outcomes)
    assert first is not None
    assert second is not None
    assert first["rounds"] == second["rounds"] == [2, 3]
    assert first["measures"] == pytest.approx(second["measures"], abs=1e-2)
    plain = cases.run(
        cases.settings(),
        federation_study,
        CohortDevices(cases.settings(), federation_study.features, federation_study.population),
        tmp_path / "plain",
    )
    assert plain.model is not None
    assert np.linalg.norm(parameters.flatten(plain.model) - ours) > 1e-2


def test_devices_agree_to_pools_by_noisy_popularity_and_to_validation_under_masks(
    federation_study: Study, tmp_path: Path
) -> None:
    changes = {**MOST, "training": {**MOST["training"], "pool": "popularity"}, "secure_aggregation": SECURE}
    config = cases.settings(**changes)
    seen: list[RoundEvent] = []
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
    ):
        outcome = cases.run(config, federation_study, devices, tmp_path / "run", seen.append)
    assert outcome.stopped is None
    assert all(step.opened.devices == cases.USERS for step in seen)
    training = [step.request for step in seen if step.request.query == "training"]
    weights = negatives.weights_of(outcome.collaborative.popularity, config.training.pool_power)
    for request in training:
        assert np.array_equal(request.arrays[negatives.WEIGHTS], weights)
    assert len({request.arrays["pool"].tobytes() for request in training}) == 3
