"""Every fusion and every user tower through a whole private run, a signed release, and the device's offline ranker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.client.ranker import Ranker
from fedrec.content.registry import encoder_to_bytes
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey
from fedrec.server.publish import contents_of
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.measure import scorer_of
from fedrec.simulation.study import Study

FURTHER = {"auxiliary": 0.5, "alignment": 0.2}
PARTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"fusion": "mean", "user_tower": "recency"}, {}),
    ({"fusion": "weighted", "user_tower": "gru"}, {}),
    ({"fusion": "max", "user_tower": "attention"}, {}),
    ({"fusion": "concat-mlp", "user_tower": "gru"}, {"loss": "bce"}),
    ({"fusion": "gated", "user_tower": "recency"}, {"auxiliary": 0.5}),
    ({"fusion": "attention", "user_tower": "mean"}, {"alignment": 0.2}),
    ({"fusion": "cross-attention", "user_tower": "attention"}, FURTHER),
    ({"fusion": "mixture", "user_tower": "mean"}, {}),
    ({"fusion": "late", "user_tower": "mean"}, {}),
    ({"fusion": "weighted", "head_rank": 3}, FURTHER),
    ({"fusion": "late", "user_tower": "gru", "reads": ["text", "image"]}, FURTHER),
]


@pytest.mark.parametrize(("model", "training"), PARTS, ids=lambda part: "-".join(map(str, part.values())) or "plain")
def test_a_device_ranks_with_the_release_as_the_simulator_does(
    model: dict[str, Any], training: dict[str, Any], federation_study: Study, tmp_path: Path
) -> None:
    study = federation_study
    config = cases.settings(model=model, training=training)
    devices = CohortDevices(config, study.features, study.population)
    outcome = cases.run(config, study, devices, tmp_path / "run")
    assert outcome.model is not None
    assert outcome.stopped is None
    before = parameters.flatten(build_model(config, study.features))
    assert before.shape == parameters.flatten(outcome.model).shape
    encoders = {name: encoder_to_bytes(encoder) for name, encoder in study.encoders.items()}
    contents = contents_of(config, encoders, outcome, {}, quality={}, data={})
    write_release(tmp_path / "release", contents, key=SigningKey.fresh())
    ranker = Ranker(read_release(tmp_path / "release"))
    ours = scorer_of(config, study, outcome.model, outcome.collaborative, outcome.features).parts_of(study.known)
    theirs = ranker.scorer.parts_of(study.known)
    np.testing.assert_allclose(theirs.tower, ours.tower, atol=1e-4)
    assert ours.tower.std() > 0.1
    modality = outcome.model.modalities[-1]
    without = ranker.scorer.tower_part(study.known, without=modality)
    assert not np.allclose(without, theirs.tower, atol=1e-3)
