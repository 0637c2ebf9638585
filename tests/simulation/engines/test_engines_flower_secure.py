"""Secure aggregation on Flower's own simulation runtime: the release of engine ``grid``, up to rounding."""

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
from fedrec.server.federate import federate, load_server_catalogue
from fedrec.simulation.engines.enlist import enlist
from fedrec.simulation.engines.flower import processes_of, run_flower
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study

# Two sums, each of five exchanges with every device and one with a few.
CONFIG = cases.settings(
    secure_aggregation={"protocol": "secagg+"},
    collaborative={"cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
    training={"rounds": 1},
    evaluation={"private_metrics": False},
)
# What rounding and float32 may move: at most 24 x 2^-20, and as much again.
CLOSE = {"rtol": 1e-5, "atol": 48 * 2.0**-20}


@pytest.mark.slow
@pytest.mark.flower
def test_flowers_own_runtime_opens_the_sums_that_the_grid_opens(
    federation_study: Study, tmp_path: Path, flower_app: Path
) -> None:
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(CONFIG, federation_study, tmp_path / "grid", reporter) as devices,
    ):
        first = federate(CONFIG, load_server_catalogue(tmp_path / "grid" / "catalogue"), devices, tmp_path / "grid-out")
    catalogue, stores = cases.place(federation_study, tmp_path / "devices")
    out, home = tmp_path / "out", tmp_path / "home"
    log = run_flower(
        flower_app,
        home,
        {"config": CONFIG.model_dump_json(), "catalogue": str(catalogue), "stores": str(stores), "out": str(out)}
        | {"devices": cases.USERS, "roster": str(enlist(stores))},
        devices=cases.USERS,
        seconds=300,
    )
    assert processes_of(home) == []
    assert (out / "server.json").is_file(), log
    record = json.loads((out / "server.json").read_text())
    assert record["secure_aggregation"] == {"protocol": "secagg+", "aborted": {}, "excluded": {}}
    told = ("query", "round", "asked", "devices", "left_out", "bytes_up_per_device")
    assert [[line[name] for name in told] for line in record["rounds"]] == [
        [line[name] for name in told] for line in first["rounds"]
    ]
    assert [line["devices"] for line in record["rounds"]] == [cases.USERS, cases.USERS]
    # A ledger's head hashes the time at which its rows were written.
    assert {**record["privacy"], "ledger": None} == {**first["privacy"], "ledger": None}
    ours, theirs = (read_release(directory / "model").contents for directory in (out, tmp_path / "grid-out"))
    assert ours.model is not None and theirs.model is not None
    assert ours.collaborative is not None and theirs.collaborative is not None
    moved = parameters.flatten(recommender(ours.model)), parameters.flatten(recommender(theirs.model))
    np.testing.assert_allclose(*moved, **CLOSE)
    np.testing.assert_allclose(ours.collaborative.popularity, theirs.collaborative.popularity, **CLOSE)
