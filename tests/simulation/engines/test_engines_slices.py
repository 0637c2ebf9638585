"""Flower's own runtime with many users a node: the release of the engine that has them all in one process."""

from __future__ import annotations

import json
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest

from fedrec.console import open_reporter
from fedrec.model import parameters
from fedrec.release.bundle import read_release
from fedrec.release.model_state import recommender
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.flower import processes_of, run_flower
from fedrec.simulation.engines.grid_devices import place_devices
from fedrec.simulation.study import Study

SLICES = 3
CONFIG = cases.settings(
    collaborative={"cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
    training={"rounds": 1},
    evaluation={"private_metrics": False},
)
# What rounding and float32 may move: a step of 2^-20 for each slice and one for the cohort, and as much again.
CLOSE = {"rtol": 1e-5, "atol": 2 * (SLICES + 1) * 2.0**-20}


@pytest.mark.slow
@pytest.mark.flower
def test_a_few_nodes_of_many_users_release_what_the_cohort_releases(
    federation_study: Study, tmp_path: Path, flower_app: Path
) -> None:
    vectorised = CohortDevices(CONFIG, federation_study.features, federation_study.population)
    first = cases.run(CONFIG, federation_study, vectorised, tmp_path / "cohort")
    with open_reporter(silent=True) as reporter:
        catalogue, stores = place_devices(federation_study, tmp_path / "devices", reporter, slices=SLICES)
    out, home = tmp_path / "out", tmp_path / "home"
    log = run_flower(
        flower_app,
        home,
        {"config": CONFIG.model_dump_json(), "catalogue": str(catalogue), "stores": str(stores), "out": str(out)}
        | {"devices": SLICES, "slices": SLICES, "users": cases.USERS},
        devices=SLICES,
        seconds=300,
    )
    assert processes_of(home) == []
    assert (out / "server.json").is_file(), log
    record = json.loads((out / "server.json").read_text())
    assert [(line["query"], line["devices"]) for line in record["rounds"]] == [
        ("popularity", SLICES),
        ("training", SLICES),
    ]
    assert record["data"]["users"] == cases.USERS
    assert record["privacy"]["epsilon_released"] == pytest.approx(cases.EPSILON, rel=1e-3)
    contents = read_release(out / "model").contents
    assert contents.model is not None and first.model is not None
    assert contents.collaborative is not None
    np.testing.assert_allclose(
        parameters.flatten(recommender(contents.model)), parameters.flatten(first.model), **CLOSE
    )
    np.testing.assert_allclose(contents.collaborative.popularity, first.collaborative.popularity, **CLOSE)
