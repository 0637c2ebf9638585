"""The choice among readings through both engines, and what devices refuse of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.client.query_handler import QueryHandler
from fedrec.client.request_policy import check_agreed
from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.errors import ProtocolError
from fedrec.queries.paid_sums import sums_of
from fedrec.queries.request import Request
from fedrec.queries.selection import Selected
from fedrec.server.results import RoundEvent, RunResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study

CANDIDATES: dict[str, Any] = {
    "plain": {},
    "heavy": {"prior": {"weight": 5.0}},
    "folded": {"fold_in": {"rank": 5}},
    "popularity": {"scoring": {"personal": False, "popularity_weight": 1.0}},
}
COLLABORATIVE: dict[str, Any] = {
    "cooccurrence": {"enabled": False},
    "power_iteration": {"enabled": True, "steps": 1, "rank": 6},
    "prior": {"weight": 0.8, "modalities": {"text": 0.5, "image": 0.5}, "sharpness": 2.0},
    "scoring": {"discount": 0.2, "weight": 1.0},
    "selection": {"candidates": CANDIDATES, "default": "plain", "content_columns": 8},
}


def config_of(protocol: str = "none", **model: Any) -> Config:
    return cases.settings(
        collaborative=COLLABORATIVE,
        model={"tower": False, "notes": False, "photos": False, **model},
        evaluation={"private_metrics": True},
        privacy={"epsilon": 40.0, "noise_place": "server", "shares": {}},
        secure_aggregation={"protocol": protocol, "minimum_cohort": 12, "minimum_survivors": 8, "dropout": 0.05},
    )


def vectorised(config: Config, study: Study, out: Path, steps: list[RoundEvent]) -> RunResult:
    devices = CohortDevices(config, study.features, study.population)
    return cases.run(config, study, devices, out, steps.append)


@pytest.fixture(scope="module")
def asked(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Request]:
    """By query, the last request of a run."""
    steps: list[RoundEvent] = []
    vectorised(config_of(), federation_study, tmp_path_factory.mktemp("asked"), steps)
    return {step.request.query: step.request for step in steps}


@pytest.mark.slow
def test_masked_devices_choose_what_the_cohort_chooses(federation_study: Study, tmp_path: Path) -> None:
    steps: list[RoundEvent] = []
    plain = vectorised(config_of(), federation_study, tmp_path / "cohort", [])
    config = config_of("secagg+")
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
    ):
        masked = cases.run(config, federation_study, devices, tmp_path / "grid", steps.append)
    assert masked.stopped is None
    one, other = plain.results["selection"], masked.results["selection"]
    assert isinstance(one, Selected) and isinstance(other, Selected)
    assert one.choice.chosen == other.choice.chosen
    assert masked.config.collaborative == plain.config.collaborative
    for name, advantage in one.choice.advantages.items():
        assert other.choice.advantages[name] == pytest.approx(advantage, abs=0.02)


def test_devices_read_what_the_server_reads_but_for_rounding(
    federation_study: Study, tmp_path: Path, asked: dict[str, Request]
) -> None:
    config = config_of()
    sums = sums_of(config, asked["selection"].arrays)
    assert asked["selection"].arrays["content"].shape[1] == 8
    popularity = asked["metrics"].arrays["popularity"]
    np.testing.assert_allclose(sums.popularity, popularity, rtol=1e-6)


def test_a_device_refuses_sums_of_another_form(federation_study: Study, asked: dict[str, Request]) -> None:
    config, features, good = config_of(), federation_study.features, asked["selection"]
    check_agreed(config, good, features)
    found = good.arrays["found"]
    broken: dict[str, dict[str, Any]] = {
        "another type": {"found": found.astype(np.float32)},
        "fewer items": {"found": found[:-1]},
        "more columns": {"content": np.zeros((len(features), 9), np.float16)},
        "no mass": {"mass": np.zeros(len(features), np.float32)},
        "popularity below zero": {"popularity": -np.ones(len(features), np.float32)},
    }
    for what, arrays in broken.items():
        with pytest.raises(ProtocolError):
            check_agreed(config, replace(good, arrays={**good.arrays, **arrays}), features)
            pytest.fail(f"{what} was agreed to")


@pytest.mark.parametrize("value", [np.inf, np.nan, 6e4])
def test_a_device_refuses_sums_beyond_all_numbers_before_it_reads_a_history(
    federation_study: Study, asked: dict[str, Request], value: float
) -> None:
    handler, good = QueryHandler(config_of(), federation_study.features), asked["selection"]
    handler.check(good)
    with pytest.raises(ProtocolError):
        handler.check(replace(good, arrays={**good.arrays, "found": np.full_like(good.arrays["found"], value)}))


def test_a_request_about_the_finished_model_names_a_candidate(
    federation_study: Study, asked: dict[str, Request]
) -> None:
    config, good = config_of(), asked["metrics"]
    assert good.settings["reading"] in CANDIDATES
    check_agreed(config, good, federation_study.features)
    for name in ("another", "", 3):
        with pytest.raises(ProtocolError):
            check_agreed(config, replace(good, settings={**good.settings, "reading": name}), federation_study.features)


def test_a_tower_is_read_beside_the_sums(federation_study: Study, tmp_path: Path) -> None:
    tower = {"scoring": {"weight": 0.0}}
    config = config_of(tower=True)
    selection = config.collaborative.selection.model_copy(update={"candidates": {**CANDIDATES, "tower": tower}})
    changed = config.collaborative.model_copy(update={"selection": selection})
    steps: list[RoundEvent] = []
    outcome = vectorised(
        config.model_copy(update={"collaborative": changed}), federation_study, tmp_path / "tower", steps
    )
    assert outcome.stopped is None
    (request,) = [step.request for step in steps if step.request.query == "selection"]
    assert "parameters" in request.arrays
    advantages = outcome.results["selection"].choice.advantages
    assert len(advantages) == 5 and advantages["tower"] != pytest.approx(advantages["popularity"], abs=1e-6)
