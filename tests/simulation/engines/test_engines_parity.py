"""Three engines, one behaviour: from one seed, the same release up to the rounding of shares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.model import parameters
from fedrec.privacy.run_plan import share_of
from fedrec.queries.plan import rows_of
from fedrec.release.bundle import read_release
from fedrec.release.model_state import recommender
from fedrec.server.results import RoundEvent, RunResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.flower import processes_of, run_flower
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

BITS = 20
# Every device's vector is rounded by less than a step, the cohort engine's by less than a step in all.
ROUNDING = (cases.USERS + 1) * 2.0**-BITS
FLOAT32 = 1e-6


@pytest.fixture(scope="module")
def cohort(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    config = cases.settings()
    devices = CohortDevices(config, federation_study.features, federation_study.population)
    return cases.run(config, federation_study, devices, tmp_path_factory.mktemp("cohort"))


def assert_same(config: Config, first: RunResult, model: Any, collaborative: CollaborativeFactors) -> None:
    """Hold two releases to what rounding can explain."""
    np.testing.assert_allclose(collaborative.popularity, first.collaborative.popularity, rtol=1e-6, atol=ROUNDING)
    # EASE inverts a matrix whose eigenvalues are at least the ridge, and each of its entries is off by the rounding.
    solved = cases.ITEMS * ROUNDING / config.collaborative.solver.ridge + FLOAT32
    np.testing.assert_allclose(
        collaborative.history @ collaborative.candidate.T,
        first.collaborative.history @ first.collaborative.candidate.T,
        rtol=0,
        atol=solved,
    )
    # A step divides the sum by the expected rows; as much again is left for what a moved parameter does later.
    rows = rows_of(config, cases.USERS) * share_of(config, cases.USERS)
    moved = 2 * config.training.rounds * config.training.learning_rate * ROUNDING * config.privacy.clip / rows
    ours, theirs = parameters.flatten(model), parameters.flatten(first.model) if first.model else None
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=moved + config.training.rounds * FLOAT32)


VARIANTS = [
    pytest.param({}, id="full"),
    pytest.param({"training": {"sampling": "poisson", "cohort": 6}}, id="poisson"),
    pytest.param({"training": {"sampling": "fixed", "cohort": 6}, "run": {"seed": 11}}, id="fixed"),
    pytest.param(
        {
            "privacy": {"unit": "example", "delta": 1e-3},
            "model": {"notes": False, "photos": False},
            "training": {"examples": 4},
        },
        id="example",
    ),
    pytest.param(
        {"model": {"fusion": "late", "user_tower": "gru"}, "training": {"auxiliary": 0.5, "alignment": 0.2}},
        id="late-gru-multitask",
    ),
    pytest.param({"model": {"head_rank": 3}}, id="low-rank"),
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_grid_releases_what_the_cohort_releases(
    changes: dict[str, dict[str, Any]], federation_study: Study, tmp_path: Path
) -> None:
    config = cases.settings(**changes)
    steps: dict[str, list[RoundEvent]] = {"cohort": [], "grid": []}
    vectorised = CohortDevices(config, federation_study.features, federation_study.population)
    first = cases.run(config, federation_study, vectorised, tmp_path / "cohort", steps["cohort"].append)
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
    ):
        assert devices.last_update is None
        second = cases.run(config, federation_study, devices, tmp_path / "grid", steps["grid"].append)
    assert_same(config, first, second.model, second.collaborative)
    assert second.costs == first.costs
    asked = [[(s.request.query, s.request.round, s.cohort, s.opened.bytes_up) for s in s_] for s_ in steps.values()]
    assert asked[0] == asked[1]
    assert all(step.opened.devices == step.cohort for step in steps["grid"])
    for ours, theirs in zip(steps["grid"], steps["cohort"], strict=True):
        if ours.request.round <= 1:  # later, the parameters that are asked with differ by what was rounded before
            atol = ROUNDING * ours.request.sum.bound + FLOAT32
            np.testing.assert_allclose(ours.opened.vector, theirs.opened.vector, rtol=0, atol=atol)


def test_with_few_bits_the_engines_differ_by_a_thousandth(federation_study: Study, tmp_path: Path) -> None:
    """The default grid: rotated updates, as few bits as are enough; relative distance of sums and models."""
    config = cases.settings(secure_aggregation={"rotate": True, "resolution_bits": None}, privacy={"epsilon": None})
    assert config.secure_aggregation == Config().secure_aggregation.model_copy(update={"protocol": "none"})
    steps: dict[str, list[RoundEvent]] = {"cohort": [], "grid": []}
    vectorised = CohortDevices(config, federation_study.features, federation_study.population)
    first = cases.run(config, federation_study, vectorised, tmp_path / "cohort", steps["cohort"].append)
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
    ):
        second = cases.run(config, federation_study, devices, tmp_path / "grid", steps["grid"].append)
    for ours, theirs in zip(steps["grid"], steps["cohort"], strict=True):
        agreed, exact = ours.request.sum, theirs.opened.vector
        assert bool(agreed.rotation) == (ours.request.query == "training")
        assert agreed.ring.bits <= (18 if agreed.rotation else 20)
        assert 0 < np.linalg.norm(ours.opened.vector - exact) < 2e-3 * np.linalg.norm(exact) or len(exact) == 3
    assert first.model is not None
    ours, theirs = parameters.flatten(second.model), parameters.flatten(first.model)
    assert np.linalg.norm(ours - theirs) < 2e-3 * np.linalg.norm(theirs)


@pytest.mark.flower
def test_flowers_own_runtime_releases_what_the_cohort_releases(
    federation_study: Study, cohort: RunResult, tmp_path: Path, flower_app: Path
) -> None:
    config = cases.settings()
    catalogue, stores = cases.place(federation_study, tmp_path / "devices")
    out, home = tmp_path / "out", tmp_path / "home"
    log = run_flower(
        flower_app,
        home,
        {"config": config.model_dump_json(), "catalogue": str(catalogue), "stores": str(stores), "out": str(out)}
        | {"devices": cases.USERS},
        devices=cases.USERS,
        seconds=300,
    )
    assert processes_of(home) == []
    assert (out / "server.json").is_file(), log
    assert log.count('"query": "training"') == config.training.rounds
    record = json.loads((out / "server.json").read_text())
    assert [line["query"] for line in record["rounds"]] == ["popularity", "cooccurrence", *["training"] * 3, "metrics"]
    assert all(line["devices"] == cases.USERS and not line["left_out"] for line in record["rounds"])
    assert record["privacy"]["epsilon_released"] == pytest.approx(cases.EPSILON, rel=1e-3)
    contents = read_release(out / "model").contents
    assert contents.model is not None
    assert contents.collaborative is not None
    assert_same(config, cohort, recommender(contents.model), contents.collaborative)
