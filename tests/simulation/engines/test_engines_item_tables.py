"""Behaviour, ids and graphs through whole runs: grid and cohort alike, and a release ranks as the simulator does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.client.ranker import Ranker
from fedrec.collaborative import item_tables
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.solve import solve
from fedrec.console import open_reporter
from fedrec.content.registry import encoder_to_bytes
from fedrec.data.store import EventStore
from fedrec.model.build import build_model
from fedrec.queries import cooccurrence
from fedrec.ranking.tower import TowerScorer
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey
from fedrec.server.publish import contents_of
from fedrec.server.results import RoundEvent
from fedrec.simulation.attacks.poisoned import Attacker, PoisonedDevices
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.measure import scorer_of
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

ROUNDING = (cases.USERS + 1) * 2.0**-20
COLUMNS = {"feature_columns": 6}
VARIANTS: dict[str, dict[str, Any]] = {
    "behaviour": {"collaborative": COLUMNS},
    "behaviour-alone": {
        "collaborative": COLUMNS,
        "model": {"reads": ["behaviour"], "notes": False, "photos": False},
    },
    "ids": {"model": {"id_embedding": True, "fusion": "gated"}},
    "content-graph": {"model": {"graph": "content", "graph_neighbours": 4}},
    "everything": {
        "collaborative": COLUMNS,
        "model": {"graph": "both", "graph_neighbours": 3, "id_embedding": True, "fusion": "late"},
        "training": {"auxiliary": 0.3, "alignment": 0.1},
    },
}


@pytest.mark.parametrize("variant", ["behaviour", "everything"])
def test_devices_of_the_grid_answer_as_the_cohort_does(variant: str, federation_study: Study, tmp_path: Path) -> None:
    """Every request that the server asked of the grid, asked of the cohort too: the same sum up to rounding."""
    config = cases.settings(**VARIANTS[variant])
    steps: list[RoundEvent] = []
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
    ):
        outcome = cases.run(config, federation_study, devices, tmp_path / "grid", steps.append)
    assert outcome.stopped is None
    assert outcome.results["metrics"] is not None
    vectorised = CohortDevices(config, federation_study.features, federation_study.population)
    for step in steps:
        asked = step.request
        assert step.opened.devices == cases.USERS
        assert (item_tables.FACTORS in asked.arrays) == (asked.query in ("training", "metrics"))
        expected = vectorised.aggregate(asked, range(cases.USERS)).vector
        atol = ROUNDING * asked.sum.bound + 1e-5
        np.testing.assert_allclose(step.opened.vector, expected, rtol=0, atol=atol)
    trained = [step for step in steps if step.request.query == "training"]
    assert np.linalg.norm(trained[0].opened.vector) > 100 * ROUNDING


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_device_ranks_with_the_release_as_the_simulator_does(
    variant: str, federation_study: Study, tmp_path: Path
) -> None:
    study, config = federation_study, cases.settings(**VARIANTS[variant])
    outcome = cases.run(config, study, CohortDevices(config, study.features, study.population), tmp_path / "run")
    assert outcome.model is not None
    encoders = {name: encoder_to_bytes(encoder) for name, encoder in study.encoders.items()}
    contents = contents_of(config, encoders, outcome, {}, quality={}, data={})
    write_release(tmp_path / "release", contents, key=SigningKey.fresh())
    ranker = Ranker(read_release(tmp_path / "release"))
    ours = scorer_of(config, study, outcome.model, outcome.collaborative, outcome.features).parts_of(study.known)
    np.testing.assert_allclose(ranker.scorer.parts_of(study.known).tower, ours.tower, atol=1e-4)
    assert ours.tower.std() > 0.1
    for name in {"behaviour", "id"} & set(outcome.model.modalities):
        without = ranker.scorer.tower_part(study.known, without=name)
        assert not np.allclose(without, ours.tower, atol=1e-3), name
    _, stores = cases.place(study, tmp_path / "devices")
    with EventStore.open(stores / "00003.sqlite") as store:
        for line in ranker.recommend(store, store.users()[0], 5):
            assert sum(line.shares.values()) == pytest.approx(1)


def test_tables_made_of_opened_sums_cost_nothing(federation_study: Study, tmp_path: Path) -> None:
    """The ledger of a run with all of them is that of a run with none, and nothing more is asked."""
    seen = {}
    for name, sections in {"plain": {}, "everything": VARIANTS["everything"]}.items():
        config, asked = cases.settings(**sections), list[tuple[str, int]]()
        devices = devices_of(config, federation_study)
        outcome = cases.run(
            config,
            federation_study,
            devices,
            tmp_path / name,
            lambda step, asked=asked: asked.append((step.request.query, step.request.round)),
        )
        seen[name] = (outcome.costs, asked)
    assert seen["plain"] == seen["everything"]
    assert len(seen["plain"][0]) == 4


def test_the_table_is_solved_again_with_what_the_tower_learned(federation_study: Study, tmp_path: Path) -> None:
    prior = {
        "prior": {"weight": 0.5, "modalities": {"tower": 2.0, "attributes": 0.1}},
        "solver": {"method": "als", "ridge": 0.5},
    }
    config = cases.settings(collaborative=prior)
    steps: list[RoundEvent] = []
    devices = devices_of(config, federation_study)
    outcome = cases.run(config, federation_study, devices, tmp_path / "run", steps.append)
    assert outcome.model is not None
    before = steps[-2].collaborative
    assert steps[-2].request.query == "training"
    assert not np.allclose(scores(before), scores(outcome.collaborative), atol=1e-3)
    # What devices were asked to measure with is what the release holds.
    assert steps[-1].request.query == "metrics"
    np.testing.assert_array_equal(steps[-1].request.arrays["history"], outcome.collaborative.history)
    # The same, from the noisy sums and the tower alone.
    study, sums = federation_study, {step.request.query: step for step in steps}
    asked = sums["cooccurrence"].request.arrays["items"]
    counts = outcome.collaborative.popularity.astype(np.float64)
    sigma = max(cost.noise_multiplier for cost in outcome.costs if cost.query == "cooccurrence")
    sensitivity = sums["cooccurrence"].request.sum.sensitivity
    matrix = cooccurrence.denoise(cooccurrence.unfold(sums["cooccurrence"].noisy), sigma * sensitivity)
    tower = TowerScorer(outcome.model, study.features, history=1).vectors().numpy()
    everything = replace(
        study.features,
        values={**study.features.values, "tower": tower},
        present={**study.features.present, "tower": np.ones(len(tower), bool)},
    )
    expected = solve(counts, matrix, asked, config.collaborative, features=everything, noisy=True)
    np.testing.assert_allclose(scores(expected), scores(outcome.collaborative), atol=1e-4)


def scores(table: CollaborativeFactors) -> NDArray[np.float32]:
    return np.asarray(table.history @ table.candidate.T)


def test_a_run_that_was_cut_off_goes_on_with_the_same_tables(federation_study: Study, tmp_path: Path) -> None:
    config = cases.settings(**VARIANTS["everything"])
    whole = cases.run(config, federation_study, devices_of(config, federation_study), tmp_path / "whole")

    class CutError(Exception):
        pass

    def cut(step: RoundEvent) -> None:
        if step.request.query == "training" and step.request.round == 2:
            raise CutError

    with pytest.raises(CutError):
        cases.run(config, federation_study, devices_of(config, federation_study), tmp_path / "cut", cut)
    again = cases.run(config, federation_study, devices_of(config, federation_study), tmp_path / "cut")
    assert whole.model is not None
    assert again.model is not None
    for name, values in again.features.values.items():
        np.testing.assert_array_equal(values, whole.features.values[name])
    assert {name: value.tolist() for name, value in again.model.named_parameters()} == {
        name: value.tolist() for name, value in whole.model.named_parameters()
    }


def devices_of(config: Any, study: Study) -> CohortDevices:
    return CohortDevices(config, study.features, study.population)


def test_an_attacker_among_the_devices_reads_the_tables_too(federation_study: Study, tmp_path: Path) -> None:
    study, config = federation_study, cases.settings(**VARIANTS["everything"])
    attacker = Attacker(3, 5, "bound", np.ones(len(study.features)), seed=1)
    devices = PoisonedDevices(config, study.features, devices_of(config, study), attacker)
    outcome = cases.run(config, study, devices, tmp_path / "run")
    honest = cases.run(config, study, devices_of(config, study), tmp_path / "honest")
    assert outcome.stopped is None
    assert outcome.collaborative.popularity[5] > honest.collaborative.popularity[5] + 1


def test_a_device_that_adds_all_noise_itself_trains_vectors_of_ids(federation_study: Study, tmp_path: Path) -> None:
    config = cases.settings(
        model={"id_embedding": True, "graph": "content", "notes": False, "photos": False},
        collaborative={"popularity": False, "cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
        privacy={"unit": "example", "noise_place": "local", "delta": 1e-3, "shares": {"training": 1.0}},
        evaluation={"private_metrics": False},
        training={"examples": 4},
    )
    outcome = cases.run(config, federation_study, devices_of(config, federation_study), tmp_path / "run")
    assert outcome.model is not None
    first = build_model(config, outcome.features)
    before, after = dict(first.named_parameters()), dict(outcome.model.named_parameters())
    assert not np.allclose(before["encoders.id.table.weight"].tolist(), after["encoders.id.table.weight"].tolist())
