"""Devices that make their own contributions private: in the cohort and behind the grid, with ledgers that last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
import query_cases
from typer.testing import CliRunner

from fedrec.api.load_run import load_run
from fedrec.cli.main import build
from fedrec.client.budget import agreement_key, local_noise
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter, open_reporter
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import BudgetExceededError, ProtocolError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.queries.request import Request
from fedrec.queries.wire import Envelope
from fedrec.server.results import RoundEvent
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

EPSILON, DELTA, STEPS = 6.0, 1e-3, 2
LOCAL: Mapping[str, Mapping[str, Any]] = {
    "model": {"notes": False, "photos": False},
    "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
    "evaluation": {"private_metrics": False},
    "training": {"examples": 4},
    "privacy": {
        "unit": "example",
        "epsilon": EPSILON,
        "delta": DELTA,
        "noise_place": "local",
        "local": {"steps": STEPS, "batch": 8},
    },
}


def settings(**sections: Mapping[str, Any]) -> Config:
    return cases.settings(**{name: {**LOCAL.get(name, {}), **sections.get(name, {})} for name in {*LOCAL, *sections}})


CONFIG = settings()


def request(study: Study, number: int, config: Config = CONFIG) -> Request:
    values = parameters.flatten(build_model(config, study.features))
    asked = query_cases.training(config, number, values, len(study.features), cases.USERS)
    return replace(asked, settings={**asked.settings, "users": cases.USERS, "devices": cases.USERS})


def envelope(study: Study, number: int, config: Config = CONFIG, session: str = "first") -> Envelope:
    return cases.envelope(request(study, number, config), study, session)


@pytest.mark.parametrize("protocol", ["none", "secagg+"])
def test_the_grid_releases_what_the_cohort_releases(protocol: str, federation_study: Study, tmp_path: Path) -> None:
    config = settings(secure_aggregation={"protocol": protocol, "minimum_cohort": 20})
    steps: dict[str, list[RoundEvent]] = {"cohort": [], "grid": []}
    together = CohortDevices(config, federation_study.features, federation_study.population)
    first = cases.run(config, federation_study, together, tmp_path / "cohort", steps["cohort"].append)
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
    ):
        second = cases.run(config, federation_study, devices, tmp_path / "grid", steps["grid"].append)
    assert first.costs == second.costs == ()
    assert [step.request.query for step in steps["grid"]] == ["training"] * 3
    for ours, theirs in zip(steps["grid"], steps["cohort"], strict=True):
        rounding = (cases.USERS + 1) * 2.0**-20
        np.testing.assert_allclose(ours.opened.vector, theirs.opened.vector, rtol=0, atol=10 * rounding)
        assert np.linalg.norm(ours.opened.vector) > 0.1
    assert first.model is not None
    assert second.model is not None
    np.testing.assert_allclose(parameters.flatten(second.model), parameters.flatten(first.model), atol=1e-4)
    for path in sorted((tmp_path / "devices" / "stores").glob("*.sqlite")):
        with EventStore.open(path) as store:
            ledger = DeviceLedger(store)
            rows = ledger.rows()
            spent = ledger.spent()
        assert [(row.query, row.round, row.noise) for row in rows] == [("training", n, "device") for n in (1, 2, 3)]
        cost = rows[0].cost
        assert cost is not None
        # An independent composition: all steps of the run at once.
        whole = epsilon([replace(cost, rounds=3 * STEPS)], DELTA)
        assert spent == pytest.approx(whole)
        assert EPSILON * 0.998 < whole <= EPSILON


def test_what_leaves_a_device_carries_its_own_noise(federation_study: Study, tmp_path: Path) -> None:
    """The same request, twice, under fresh keys: two contributions that have little in common."""
    config = settings(run={"reproducible": False}, training={"rounds": 30})
    catalogue, stores = cases.place(federation_study, tmp_path)
    device = cases.device(config, catalogue, stores / "00003.sqlite")
    asked = request(federation_study, 1, config)
    parts = []
    for session in ("first", "second"):
        sent = device.answer(cases.envelope(asked, federation_study, session), "run")
        parts.append(asked.sum.open(asked.sum.add(None, sent)))
    first, second = parts
    assert 0 < np.linalg.norm(first) <= 1 + 1e-3
    assert first @ second < 0.5 * np.linalg.norm(first) * np.linalg.norm(second)
    assert len({row.round for row in _rows(stores / "00003.sqlite")}) == 1
    assert len(_rows(stores / "00003.sqlite")) == 2  # and each of them was paid for


def test_a_device_refuses_when_its_promise_is_spent_after_restarts_and_new_runs(
    federation_study: Study, tmp_path: Path
) -> None:
    catalogue, stores = cases.place(federation_study, tmp_path)
    store = stores / "00002.sqlite"
    for number in (1, 2, 3):  # every device object is a restart: only the store lasts
        cases.device(CONFIG, catalogue, store).answer(envelope(federation_study, number), "run")
    spent = _rows(store)
    # A server that was cut off may ask the last round again, and another run begins anew.
    for run, number in (("run", 3), ("another", 1)):
        with pytest.raises(BudgetExceededError, match="what these settings promise would be exceeded"):
            cases.device(CONFIG, catalogue, store).answer(envelope(federation_study, number, session="second"), run)
    assert _rows(store) == spent


def test_a_plan_stands_though_the_device_meets_more_items(federation_study: Study, tmp_path: Path) -> None:
    catalogue, stores = cases.place(federation_study, tmp_path)
    path = stores / "00001.sqlite"
    cases.device(CONFIG, catalogue, path).answer(envelope(federation_study, 1), "run")
    with EventStore.open(path) as store:
        store.add_events(store.users()[0], [Event(item, 5) for item in federation_study.features.ids])
        before = local_noise(store, CONFIG, agreement_key(CONFIG, federation_study.features.digest()))
    assert before is not None
    for number in (2, 3):
        cases.device(CONFIG, catalogue, path).answer(envelope(federation_study, number), "run")
    assert {(row.cost, row.releases) for row in _rows(path)} == {(replace(before, rounds=1), before.rounds)}


def test_a_device_without_a_user_adds_noise_too(federation_study: Study, tmp_path: Path) -> None:
    catalogue, _ = cases.place(federation_study, tmp_path)
    path = tmp_path / "empty.sqlite"
    EventStore.create(path).close()
    asked = request(federation_study, 1)
    sent = cases.device(CONFIG, catalogue, path).answer(envelope(federation_study, 1), "run")
    assert np.linalg.norm(asked.sum.open(asked.sum.add(None, sent))) > 0.1


def test_a_question_with_another_bound_is_refused(federation_study: Study, tmp_path: Path) -> None:
    catalogue, stores = cases.place(federation_study, tmp_path)
    other = settings(privacy={"local": {"bound": 2.0}})
    with pytest.raises(ProtocolError):
        cases.device(CONFIG, catalogue, stores / "00001.sqlite").answer(envelope(federation_study, 1, other), "run")
    assert _rows(stores / "00001.sqlite") == []


def test_the_sum_points_where_the_data_do_as_far_as_the_promise_lets_it(federation_study: Study) -> None:
    """The cosine of a round's sum with the one without noise: clear at epsilon 100, lost at epsilon 0.1."""

    def opened(epsilon: float | None, seed: int) -> np.ndarray:
        own = {"steps": 1, "batch": 0}
        config = settings(run={"seed": seed}, privacy={"epsilon": epsilon, "local": own}, training={"rounds": 1})
        devices = CohortDevices(config, federation_study.features, federation_study.population)
        asked = request(federation_study, 1, settings(training={"rounds": 1}, privacy={"local": own}))
        return devices.aggregate(asked, range(cases.USERS)).vector

    def cosines(epsilon: float) -> float:
        found = []
        for seed in range(4):
            ours, bare = opened(epsilon, seed), opened(None, seed)
            found.append(float(ours @ bare / np.linalg.norm(ours) / np.linalg.norm(bare)))
        return float(np.mean(found))

    assert cosines(100.0) > 0.15
    assert abs(cosines(0.1)) < 0.1


def test_a_run_states_one_epsilon_verifies_and_learns(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", users=24, items=140, seed=4)
    figures = {}
    for name, rounds in {"private": 2, "bare": 10, "untrained": 0}.items():
        tree = json.loads(CONFIG.model_dump_json())
        tree["run"] |= {"engine": "grid" if name == "private" else "cohort"}
        tree["secure_aggregation"] = {}
        tree["model"] |= {"warm_start": None}
        tree["training"] |= {"rounds": rounds, "optimiser": "adam", "learning_rate": 0.02}
        tree["privacy"] |= {"epsilon": EPSILON if name == "private" else None, "local": {"batch": 0}}
        tree["evaluation"] |= {"every": 0}
        config = from_tree(tree)
        figures[name] = simulate(config, tmp_path / "shop", tmp_path / name, reporter=SilentReporter())
    private = figures["private"]["privacy"]
    assert (private["epsilon_released"], private["epsilon_server"], private["delta"]) == (EPSILON, EPSILON, DELTA)
    assert figures["bare"]["privacy"]["epsilon_released"] is None
    assert [check.name for check in load_run(tmp_path / "private") if not check.passed] == []
    page = CliRunner().invoke(build(), ["privacy", "statement", str(tmp_path / "private")]).output
    assert "epsilon = 6" in page
    assert "DP-SGD of each device" in page
    # What is claimed is held to what devices kept.
    path = tmp_path / "private" / "run.json"
    record = json.loads(path.read_text())
    record["privacy"]["epsilon_server"] = 3.0
    path.write_text(json.dumps(record))
    failed = [check.name for check in load_run(tmp_path / "private") if not check.passed]
    assert failed == ["epsilon"]
    # A turn that no settings planned, in one device's ledger.
    with EventStore.open(tmp_path / "private" / "stores" / "00004.sqlite") as store, store.transaction():
        ledger = DeviceLedger(store)
        other = Agreement("other", 100.0, DELTA)
        ledger.charge_local(other, QueryCost("training", 0.5), run="run", query="training", round=9)
    assert "devices" in [check.name for check in load_run(tmp_path / "private") if not check.passed]
    hits = {name: run["quality"]["loo-99neg"]["ndcg@10"] for name, run in figures.items()}
    assert hits["bare"] > hits["untrained"]


def _rows(path: Path) -> list[Any]:
    with EventStore.open(path) as store:
        return DeviceLedger(store).rows()


def test_low_rank_heads_take_their_own_noisy_steps(federation_study: Study, tmp_path: Path) -> None:
    """What is frozen stays as it was, on the device that takes several steps too."""
    config = settings(model={**LOCAL["model"], "head_rank": 3})
    devices = CohortDevices(config, federation_study.features, federation_study.population)
    trained = cases.run(config, federation_study, devices, tmp_path / "run").model
    none = settings(
        model={**LOCAL["model"], "head_rank": 3},
        training={"examples": 4, "rounds": 0},
        privacy={"epsilon": None, "noise_place": "server"},
    )
    begun = cases.run(none, federation_study, devices, tmp_path / "none").model
    assert trained is not None and begun is not None
    np.testing.assert_array_equal(parameters.flatten_frozen(trained), parameters.flatten_frozen(begun))
    assert not np.allclose(parameters.flatten(trained), parameters.flatten(begun), atol=1e-3)
