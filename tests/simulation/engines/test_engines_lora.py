"""A layer fine-tuned by low-rank adapters through whole private runs: engines alike, the layer never on the wire and
never changed, and a release that ranks on the device. Without the extra: states and layer are small and random."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import federation_cases as cases
import lora_cases
import numpy as np
import pytest

from fedrec.client.ranker import Ranker
from fedrec.config import Config
from fedrec.console import SilentReporter
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey
from fedrec.server.publish import contents_of
from fedrec.server.results import RoundEvent
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.measure import scorer_of
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

LAYER = 12 * lora_cases.WIDTH**2


@pytest.fixture(scope="module")
def study(federation_study: Study) -> Study:
    """The shop with states for text; notes, which only MiniLM itself could encode, are not read."""
    return replace(federation_study, features=lora_cases.with_states(federation_study.features), encoders={})


def settings(**sections: object) -> Config:
    training = {"rounds": 2, "negatives": 8, "positives": 3}
    return cases.settings(model={**lora_cases.LORA, "history": 6, "photos": False}, training=training, **sections)


@pytest.mark.parametrize("secure", [False, True], ids=["open", "secagg"])
def test_devices_that_get_messages_train_the_same_model(secure: bool, study: Study, tmp_path: Path) -> None:
    config = settings(secure_aggregation={"protocol": "secagg+"} if secure else {})
    steps: list[RoundEvent] = []
    vectorised = CohortDevices(settings(), study.features, study.population)
    first = cases.run(settings(), study, vectorised, tmp_path / "cohort")
    with grid_devices(config, study, tmp_path / "devices", SilentReporter()) as devices:
        second = cases.run(config, study, devices, tmp_path / "grid", steps.append)
    assert first.model is not None and second.model is not None
    np.testing.assert_allclose(parameters.flatten(first.model), parameters.flatten(second.model), atol=1e-3)
    asked = [step.request for step in steps if step.request.query in ("training", "metrics")]
    assert len(asked) == 3
    for request in asked:
        # Of what is frozen only A, for two adapters, and the centre.
        assert request.arrays["frozen"].size == (2 * 2 + 1) * lora_cases.WIDTH
        assert all(array.size < LAYER for array in request.arrays.values()), request.query
    begun = build_model(config, study.features)
    for adapter in ("query", "value"):
        name = f"encoders.text.{adapter}.up.weight"
        assert second.model.state_dict()[name].abs().max() > 0.01
        assert not begun.state_dict()[name].any()


def test_the_layer_stays_and_the_release_ranks_on_the_device(study: Study, tmp_path: Path) -> None:
    config = settings()
    outcome = cases.run(config, study, CohortDevices(config, study.features, study.population), tmp_path / "run")
    assert outcome.model is not None and outcome.stopped is None
    layer = outcome.model.encoders["text"].layer
    for name, value in study.features.weights["text"].items():
        np.testing.assert_array_equal(getattr(layer, name).numpy(), value)
    contents = contents_of(config, {}, outcome, {}, quality={}, data={})
    write_release(tmp_path / "release", contents, key=SigningKey.fresh())
    read = read_release(tmp_path / "release")
    assert read.contents.items.values["text"].dtype == np.float16
    ranker = Ranker(read)
    theirs = ranker.scorer.parts_of(study.known).tower
    ours = scorer_of(config, study, outcome.model, outcome.collaborative, outcome.features).parts_of(study.known).tower
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert not np.allclose(ranker.scorer.tower_part(study.known, without="text"), theirs, atol=1e-3)
