"""Private power iteration through whole runs: with secure aggregation, after a cut, and held to what was agreed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
import query_cases

from fedrec.client.query_handler import QueryHandler
from fedrec.client.request_policy import check_agreed
from fedrec.collaborative.power_iteration import ProjectionDirections
from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.errors import ProtocolError
from fedrec.server.results import AggregateResult, RoundEvent, RunResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study

ROUNDING = (cases.USERS + 1) * 2.0**-20
FACTORS: dict[str, Any] = {
    "fold_in": {"rank": 5, "weight": 0.5},
    "cooccurrence": {"enabled": False},
    "power_iteration": {"enabled": True, "steps": 2, "rank": 6, "item_weighting": 0.15},
    "prior": {"weight": 0.8, "modalities": {"text": 0.5, "image": 0.5}, "sharpness": 2.0},
    "scoring": {"discount": 0.2},
}
SHARES = {"popularity": 0.2, "directions": 0.2, "factors": 0.5, "metrics": 0.1}


def config_of(protocol: str = "none") -> Config:
    return cases.settings(
        collaborative=FACTORS,
        model={"tower": False, "notes": False, "photos": False},
        privacy={"epsilon": cases.EPSILON, "shares": SHARES},
        secure_aggregation={"protocol": protocol, "minimum_cohort": 12, "minimum_survivors": 8, "dropout": 0.05},
    )


def run(config: Config, study: Study, out: Path, steps: list[RoundEvent]) -> RunResult:
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, study, out / "devices", reporter) as devices,
    ):
        return cases.run(config, study, devices, out / "grid", steps.append)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["none", "secagg+"])
def test_the_grid_opens_what_the_cohort_adds_up(protocol: str, federation_study: Study, tmp_path: Path) -> None:
    config, steps = config_of(protocol), list[RoundEvent]()
    outcome = run(config, federation_study, tmp_path, steps)
    assert outcome.stopped is None
    asked = [(step.request.query, step.request.round) for step in steps]
    assert asked[:4] == [("popularity", 0), ("directions", 1), ("directions", 2), ("factors", 0)]
    vectorised = CohortDevices(config, federation_study.features, federation_study.population)
    for step in steps[:4]:
        expected = vectorised.aggregate(step.request, range(cases.USERS)).vector
        np.testing.assert_allclose(step.opened.vector, expected, rtol=0, atol=ROUNDING * step.request.sum.bound)
    assert outcome.collaborative.rank > 0
    assert outcome.collaborative.factors is not None and outcome.collaborative.factors.shape[1] == 5
    spent = {cost.query: cost.rounds for cost in outcome.costs}
    assert spent == {"popularity": 1, "directions": 2, "factors": 1, "metrics": 1}


class CutOffError(Exception):
    """The run ends here."""


class Failing(CohortDevices):
    """Devices that are gone when the factors are asked."""

    def aggregate(self, request: Any, cohort: Any) -> AggregateResult:
        if request.query == "factors":
            raise CutOffError
        return super().aggregate(request, cohort)


def test_a_run_that_was_cut_off_asks_no_direction_twice(federation_study: Study, tmp_path: Path) -> None:
    config, study = config_of(), federation_study
    whole = cases.run(config, study, CohortDevices(config, study.features, study.population), tmp_path / "whole")
    with pytest.raises(CutOffError):
        cases.run(config, study, Failing(config, study.features, study.population), tmp_path / "cut")
    steps: list[RoundEvent] = []
    devices = CohortDevices(config, study.features, study.population)
    outcome = cases.run(config, study, devices, tmp_path / "cut", steps.append)
    assert [step.request.query for step in steps] == ["factors", "metrics"]
    np.testing.assert_allclose(outcome.collaborative.history, whole.collaborative.history, atol=1e-6)


def test_a_device_refuses_directions_that_its_settings_do_not_lead_to(federation_study: Study) -> None:
    config, features = config_of(), federation_study.features
    items = len(features)
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(items, 6)))[0]
    asked = ProjectionDirections(np.full(items, items**-0.5), vectors)
    alike = config.collaborative.power_iteration.model_copy(update={"item_weighting": 0.0})
    changed = config.collaborative.model_copy(update={"power_iteration": alike})
    config = config.model_copy(update={"collaborative": changed})
    good = query_cases.projected("directions", config, 2, asked, cases.USERS)
    check_agreed(config, good, features)
    wide = query_cases.projected("directions", config, 3, asked, cases.USERS, number=3)
    with pytest.raises(ProtocolError, match="not asked in this round"):
        check_agreed(config, wide, features)
    with pytest.raises(ProtocolError, match="leave this query out"):
        check_agreed(cases.settings(), good, features)
    short = replace(good, arrays={**good.arrays, "vectors": good.arrays["vectors"][:-1]})
    with pytest.raises(ProtocolError, match="not over this catalogue"):
        check_agreed(config, short, features)
    levelled = replace(asked, weights=np.ones(items))
    with pytest.raises(ProtocolError, match="differs"):
        check_agreed(config, query_cases.projected("directions", config, 2, levelled, cases.USERS), features)
    louder = replace(good, sum=replace(good.sum, bound=2.0))
    with pytest.raises(ProtocolError, match="differs"):
        check_agreed(config, louder, features)


@pytest.mark.parametrize("value", [0.0, -1.0, 101.0, float("nan"), float("inf")])
def test_a_device_refuses_weights_that_could_stretch_its_part(federation_study: Study, value: float) -> None:
    config, items = config_of(), len(federation_study.features.ids)
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(items, 6)))[0]
    handler = QueryHandler(config, federation_study.features)
    for broken in (np.r_[value, np.ones(items - 1)], np.ones(items - 1), np.ones((items, 1))):
        asked = ProjectionDirections(np.full(items, items**-0.5), vectors, broken)
        request = query_cases.projected("directions", config, 1, asked, cases.USERS)
        with pytest.raises(ProtocolError, match="weights of items"):
            handler.answer(request, federation_study.population)
