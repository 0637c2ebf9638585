"""Whoever hands out the catalogue puts another encoder beside the publisher's features: it would read private notes.

The features and their digest stay as they were signed, and the file that names the encoders fits the swapped one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from manifest_cases import Deployment, deployed_settings
from pytest import MonkeyPatch

from fedrec.client.start import check_device
from fedrec.content.feature_table import encoder_hashes, load_table
from fedrec.content.features import save_features
from fedrec.content.own_content import encode_own
from fedrec.content.text_lsa import LsaText
from fedrec.errors import ConfigError
from fedrec.queries.run_manifest import RunManifest
from fedrec.simulation.study import Study

CONFIG = deployed_settings(secure_aggregation={"protocol": "secagg+"})
NOTE = ["I like red tents and a red mug"]


@pytest.fixture
def deployed(federation_study: Study, tmp_path: Path, monkeypatch: MonkeyPatch) -> Deployment:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    return Deployment.make(federation_study, tmp_path, CONFIG)


def _swap(deployed: Deployment) -> None:
    signed = load_table(deployed.catalogue).digest()
    words = [f"red mug {word}" for word in ("one", "two", "three", "tents", "tents like")] * 4
    other = LsaText.fit(words, CONFIG.content.text.model_copy(update={"dimension": 2}))
    save_features(deployed.study.features, {**deployed.study.encoders, "text": other}, deployed.catalogue)
    assert load_table(deployed.catalogue).digest() == signed, "the catalogue is the one that was signed"


def test_a_device_reads_notes_with_what_the_publisher_signed(deployed: Deployment) -> None:
    notes, photos = deployed.device().device_context.own_encoders
    assert notes is not None
    assert photos is not None
    named = {name: hashlib.sha256((deployed.catalogue / name).read_bytes()).hexdigest() for name in _files(deployed)}
    assert RunManifest.read_unverified(deployed.manifest_file.read_bytes()).encoders == named


@pytest.mark.parametrize("off", [False, True])
def test_an_encoder_that_was_swapped(off: bool, deployed: Deployment, monkeypatch: MonkeyPatch) -> None:
    """Off: the device reads its notes with whatever lies beside the features, as before."""
    right = encode_own(deployed.study.encoders["text"], [NOTE]).values
    _swap(deployed)
    if off:
        monkeypatch.setattr(RunManifest, "check_encoders", lambda self, hashes: None)
        check_device({**deployed.node_config()})
        notes, _ = deployed.device().device_context.own_encoders
        assert notes is not None
        assert encode_own(notes.encoder, [NOTE]).values.shape != right.shape
        return
    with pytest.raises(ConfigError, match="encoders"):
        _ = deployed.device().device_context.own_encoders
    with pytest.raises(ConfigError, match="encoder-text"):
        check_device({**deployed.node_config()})


def test_a_manifest_without_encoders_lets_nothing_read_notes(deployed: Deployment) -> None:
    draft = deployed.draft(CONFIG, counter=2)
    deployed.sign(draft.model_copy(update={"encoders": {}}))
    with pytest.raises(ConfigError, match="encoders"):
        check_device({**deployed.node_config()})


def _files(deployed: Deployment) -> list[str]:
    return [*encoder_hashes(deployed.catalogue)]
