"""A device's light install has nothing that trains: it ranks, searches, keeps what is added, answers closed forms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from manifest_cases import Deployment, deployed_settings
from packaging.requirements import Requirement
from packaging_cases import ROOT, command, run_blocked

import fedrec.doctor
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import from_tree
from fedrec.content.catalogue import Catalogue
from fedrec.content.features import build_features
from fedrec.content.registry import encoder_to_bytes
from fedrec.data.schema import ItemRecord
from fedrec.data.store import EventStore
from fedrec.errors import MissingExtraError
from fedrec.extras import TRAIN, TRAINING, project_of
from fedrec.model.recommender import Recommender
from fedrec.release.bundle import write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.release.model_state import state_of
from fedrec.simulation.study import Study

SUMS = ("popularity", "cooccurrence")
ANSWER = """
import numpy as np
from fedrec.client.device import device_of
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Broadcast
from fedrec.queries.schedule import make_request
from fedrec.queries.wire import Envelope
config, catalogue, store = WORDS
device = device_of({"config": config, "catalogue": catalogue}, {"store": store, "simulation": True})
known = device.device_context
items = np.arange(known.config.collaborative.cooccurrence.items or len(known.features))
said = {"popularity": Broadcast(), "cooccurrence": Broadcast({"items": items}, {"normalise": 1.0})}
for query in QUERIES_ASKED:
    request = make_request(QUERIES[query], known.config, 0, said[query], 24, known.features)
    print(query, device.answer(Envelope(request, "s" * 32, known.catalogue), "run").hex())
"""
START = """
from fedrec.client.start import check_device
print(check_device(OWN).store)
"""


def colours(kind: str, tower: bool, directory: Path) -> Path:
    """A release of a few lamps, with text and no pictures."""
    tree = {
        "content": {"modalities": ["text"], "text": {"dimension": 8, "vocabulary": 300}},
        "model": {"dimension": 8, "notes": True, "tower": tower},
        "collaborative": {"scoring": {"weight": 0.5 if tower else 1.0, "popularity_weight": 0.1}},
    }
    config = from_tree(tree)
    items = tuple(
        ItemRecord(id=f"{colour}-{kind}", title=f"{colour.title()} {kind}", text=f"A {colour} {kind} of {colour} glass")
        for colour in ("red", "blue", "green", "white")
    )
    features, encoders = build_features(Catalogue.of(items), config.content)
    table = np.random.default_rng(0).normal(size=(2, len(items), 3)).astype(np.float32)
    contents = ReleaseContents(
        name=kind,
        items=features,
        model=state_of(Recommender(config.model, features.shapes, seed=1, temperature=0.1)) if tower else None,
        collaborative=CollaborativeFactors(table[0], table[1], np.arange(len(items), dtype=np.float32)),
        encoders={modality: encoder_to_bytes(one) for modality, one in encoders.items()},
        config=config.model_dump(mode="json"),
    )
    write_release(directory, contents, key=SigningKey.fresh())
    return directory


def light(*lines: str) -> str:
    """What these lines of code print where nothing that trains is installed."""
    return run_blocked(TRAINING, "\n".join(lines)).stdout


@pytest.mark.slow
def test_a_person_uses_the_device_and_the_release_is_verified(tmp_path: Path) -> None:
    release = colours("lamp", False, tmp_path / "release")
    EventStore.create(tmp_path / "store.sqlite").close()
    here = ("--store", tmp_path)
    said = light(
        command("device", "add-event", "red-lamp", *here),
        command("device", "add-note", "blue glass", *here),
        command("release", "verify", release),
        command("device", "history", *here),
        command("device", "recommend", *here, "--query", "white lamp"),
        command("device", "budget", *here),
        command("recommend", release, *here, "--json"),
    )
    found = json.loads(said[said.index("\n{\n") :])
    assert {one["item"] for one in found["recommendations"]} == {"blue-lamp", "green-lamp", "white-lamp"}
    assert "White lamp" in said and "has white" in said


@pytest.mark.slow
def test_a_tower_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    release = colours("mug", True, tmp_path / "release")
    EventStore.create(tmp_path / "store.sqlite").close()
    words = ["recommend", str(release), "--store", str(tmp_path), "--json"]
    training = ["personalise", str(release), "--store", str(tmp_path), "--json"]
    said = light(
        command("device", "add-event", "red-mug", "--store", tmp_path),
        "import click",
        f"for words in ({words!r}, {training!r}):",
        "    try:",
        "        fedrec.cli.main.build()(words)",
        "    except SystemExit as left:",
        "        print(left.code)",
    )
    assert said.count(f"[{TRAIN}]") == 2 and said.count('"code": "extra"') == 2
    assert said.count(f"\n{MissingExtraError.exit_code}\n") == 2


def answered(study: Study, tmp_path: Path, sections: Mapping[str, Mapping[str, object]]) -> list[str]:
    catalogue, stores = cases.place(study, tmp_path)
    config = cases.settings(**sections).model_dump_json()
    words = (config, str(catalogue), str(stores / "00000.sqlite"))
    return light(f"WORDS, QUERIES_ASKED = {words!r}, {SUMS!r}", ANSWER).splitlines()


@pytest.mark.slow
def test_closed_forms_are_answered(federation_study: Study, tmp_path: Path) -> None:
    sections = {
        "model": {"tower": False},
        "privacy": {"epsilon": None, "noise_place": "server", "shares": {}},
        "evaluation": {"private_metrics": False},
    }
    lines = answered(federation_study, tmp_path, sections)
    assert [line.split()[0] for line in lines] == list(SUMS)
    assert all(len(set(line.split()[1])) > 1 for line in lines), "nobody's zeros"


@pytest.mark.slow
def test_a_device_that_cannot_train_does_not_start_in_a_run_that_trains(
    federation_study: Study, tmp_path: Path
) -> None:
    deployment = Deployment.make(federation_study, tmp_path / "towers", deployed_settings())
    own = deployment.node_config()
    said = light(
        "from fedrec.errors import MissingExtraError",
        f"OWN = {own!r}",
        "try:",
        *(f"    {line}" for line in START.strip().splitlines()),
        "except MissingExtraError as error:",
        "    print(error)",
    )
    assert f"[{TRAIN}]" in said and "trains a content tower" in said
    shutil.rmtree(tmp_path / "towers")
    deployment = Deployment.make(
        federation_study,
        tmp_path / "closed",
        deployed_settings(
            model={"tower": False},
            privacy={"shares": {"popularity": 0.4, "cooccurrence": 0.6}},
            evaluation={"private_metrics": False},
        ),
    )
    own = deployment.node_config()
    assert light(f"OWN = {own!r}", START).strip() == own["store"]


def test_the_requirements_of_a_light_install_are_the_core_without_what_trains() -> None:
    lines = (ROOT / "client" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    project = project_of(ROOT)
    core = [Requirement(line) for line in project["dependencies"]]
    left_out = [one for one in core if one.name in TRAINING]
    assert sorted(map(str, listed)) == sorted(str(one) for one in core if one.name not in TRAINING)
    assert {*map(Requirement, project["optional-dependencies"][TRAIN])} == {*left_out}
    assert {one.name for one in left_out} == set(TRAINING)


def test_doctor_says_that_an_install_is_light_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedrec.doctor, "is_installed", lambda *modules: False)
    checks = {check.name: check for check in fedrec.doctor.run_checks()}
    assert checks["training"].status == "warn" and f"[{TRAIN}]" in checks["training"].action
    assert not {"torch", "torch works", "opacus works"} & set(checks)
