"""Sounds, videos, hashed words and edges of a knowledge graph through whole private runs, a signed release, and the
device's offline ranker; and what sounds alone teach."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
import torch
from PIL import Image

from fedrec.client.ranker import Ranker
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import from_tree
from fedrec.console import SilentReporter
from fedrec.content.registry import encoder_to_bytes
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.warm_start import fit_heads
from fedrec.release.bundle import read_release, write_release
from fedrec.release.content_state import encoders
from fedrec.release.keys import SigningKey
from fedrec.server.publish import contents_of
from fedrec.server.results import RunResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.measure import quality_of, scorer_of
from fedrec.simulation.run import settled, simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare

pytestmark = pytest.mark.slow

FRAMES_OF = 20
CONTENT: Mapping[str, Any] = {
    "modalities": ["text", "image", "attributes", "audio", "video"],
    "text": {"encoder": "hashed", "dimension": 64},
    "image": {"dimension": 8},
    "audio": {"encoder": "logmel", "mels": 8, "frames": 8},
    "video": {"dimension": 6, "size": 32, "frames": 2},
}
MODEL: Mapping[str, Any] = {"dimension": 8, "audio_encoder": "cnn", "head_rank": 3, "history": 8, "fusion": "gated"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with videos of its first items, a damaged sound, and a knowledge graph."""
    directory = tmp_path_factory.mktemp("media") / "shop"
    write_shop(directory, users=cases.USERS, items=cases.ITEMS, seed=1)
    with (directory / "items.csv").open(encoding="utf-8", newline="") as file:
        items = [row["item"] for row in csv.DictReader(file)]
    for place, item in enumerate(items[:FRAMES_OF]):
        folder = directory / "videos" / item
        folder.mkdir(parents=True)
        for number in (1, 2, 10):
            Image.new("RGB", (24, 24), (12 * place, 25 * number, 255 - 9 * place)).save(folder / f"{number}.jpg")
    sound = min((directory / "sounds").iterdir())
    sound.write_bytes(sound.read_bytes()[:-10])
    edges = [f"{item},made_in,town {place % 4}\n" for place, item in enumerate(items)]
    (directory / "relations.csv").write_text("item,relation,value\n" + "".join(edges), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def study(shop: Path) -> Study:
    torch.set_num_threads(1)
    return prepare(cases.settings(content=CONTENT, model=MODEL), shop, SilentReporter())


def test_all_modalities_are_encoded_and_bad_files_counted(study: Study) -> None:
    features = study.features
    assert features.modalities == ("text", "image", "attributes", "audio", "video")
    assert features.shapes["text"] == (64,) and features.shapes["audio"] == (1, 8, 8)
    assert features.present["video"].sum() == FRAMES_OF
    assert 0.8 < features.present["audio"].mean() < 0.97
    assert [(told.modality, told.reason[:16]) for told in features.warnings] == [("audio", "sound is cut off")]
    assert any(column.startswith("made_in=town") for column in study.encoders["attributes"].columns)  # type: ignore[attr-defined]


def released(study: Study, config: Any, outcome: RunResult, directory: Path) -> Ranker:
    saved = {name: encoder_to_bytes(encoder) for name, encoder in study.encoders.items()}
    contents = contents_of(config, saved, outcome, {}, quality={}, data={})
    write_release(directory, contents, key=SigningKey.fresh())
    return Ranker(read_release(directory))


def test_the_device_ranks_with_the_release_as_the_simulator_does(study: Study, shop: Path, tmp_path: Path) -> None:
    config = cases.settings(content=CONTENT, model=MODEL)
    devices = CohortDevices(config, study.features, study.population)
    outcome = cases.run(config, study, devices, tmp_path / "run")
    assert outcome.model is not None and outcome.stopped is None
    assert len(parameters.flatten_frozen(outcome.model)) == sum(
        (8 + 3) * study.features.widths[name] for name in ("text", "image", "attributes", "video")
    )
    ranker = released(study, config, outcome, tmp_path / "release")
    ours = scorer_of(config, study, outcome.model, outcome.collaborative, outcome.features).parts_of(study.known)
    theirs = ranker.scorer.parts_of(study.known)
    np.testing.assert_allclose(theirs.tower, ours.tower, atol=1e-4)
    for modality in outcome.model.modalities:
        without = ranker.scorer.tower_part(study.known, without=modality)
        assert not np.allclose(without, theirs.tower, atol=1e-3), modality
    # A new sound is encoded on the device as the catalogue's were.
    restored = encoders(read_release(tmp_path / "release").contents)
    item = int(np.flatnonzero(study.features.present["audio"])[0])
    again = restored["audio"].encode([shop / "sounds" / f"{study.features.ids[item]}.wav"])
    np.testing.assert_array_equal(again.values[0], study.features.values["audio"][item])


@pytest.mark.parametrize("secure", [False, True], ids=["open", "secagg"])
def test_devices_that_get_messages_train_the_same_model(secure: bool, study: Study, tmp_path: Path) -> None:
    """The frozen parts travel: the devices never fit them, and end up with the server's."""
    aggregation = {"protocol": "secagg+"} if secure else {}
    config = cases.settings(content=CONTENT, model=MODEL, training={"rounds": 2}, secure_aggregation=aggregation)
    plain = cases.settings(content=CONTENT, model=MODEL, training={"rounds": 2})
    vectorised = CohortDevices(plain, study.features, study.population)
    first = cases.run(plain, study, vectorised, tmp_path / "cohort").model
    with grid_devices(config, study, tmp_path / "devices", SilentReporter()) as devices:
        second = cases.run(config, study, devices, tmp_path / "grid").model
    assert first is not None and second is not None
    np.testing.assert_array_equal(parameters.flatten_frozen(first), parameters.flatten_frozen(second))
    np.testing.assert_allclose(parameters.flatten(first), parameters.flatten(second), atol=1e-3)
    begun = cases.run(
        cases.settings(content=CONTENT, model=MODEL, training={"rounds": 0}), study, vectorised, tmp_path / "none"
    ).model
    assert begun is not None
    assert np.abs(parameters.flatten(first) - parameters.flatten(begun)).max() > 0.01


@pytest.mark.parametrize("content", ["statistics", "logmel"])
def test_sounds_alone_teach_something(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    shop = tmp_path / "shop"
    write_shop(shop, users=300, items=150, seed=3, private_users=0)
    scratch = content == "logmel"
    config = settled(
        from_tree(
            {
                "content": {"audio": {"encoder": content, "mels": 16, "frames": 16}},
                "model": {
                    "preset": "audio-only",
                    "dimension": 8 if scratch else 16,
                    "history": 8,
                    "warm_start": 1.0,
                    "audio_encoder": "cnn" if scratch else "head",
                },
                "training": {
                    "rounds": 8 if scratch else 15,
                    "positives": 6,
                    "negatives": 24 if scratch else 96,
                    "temperature": 0.3,
                    "learning_rate": 0.02 if scratch else 2.0,
                    "optimiser": "adam" if scratch else "sgd",
                },
                "evaluation": {"every": 0},
                "speed": {"threads": 1},
            }
        )
    )
    study = prepare(config, shop, SilentReporter())
    first = build_model(config, study.features)
    fit_heads(first, study.features.values, study.features.present, evenness=1.0)
    none = CollaborativeFactors.empty(len(study.features.ids))
    untrained = quality_of(config, study, first, none).loo_99neg.auc
    trained = simulate(config, shop, tmp_path / "out", reporter=SilentReporter(), study=study)["quality"]["loo-99neg"]
    assert untrained is not None
    assert trained["auc"] > max(0.58, untrained + 0.01)
    assert trained["hr@10"] > 0.15
