"""A device fits its settings to the catalogue that it has, as the server of a run over it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest

from fedrec.client.device import device_of
from fedrec.client.device_context import DeviceContext
from fedrec.client.request_policy import check_agreed
from fedrec.config import Config, from_tree
from fedrec.content.feature_table import Features
from fedrec.content.features import save_features
from fedrec.content.fit import fit_to_content
from fedrec.errors import ProtocolError
from fedrec.queries.cooccurrence import COOCCURRENCE
from fedrec.queries.request import Broadcast
from fedrec.queries.schedule import make_request
from fedrec.simulation.study import Study

# Power iteration from pictures alone, which this catalogue has none of.
ACCEPTED: Config = from_tree(
    {
        "collaborative": {
            "cooccurrence": {"enabled": False},
            "power_iteration": {"enabled": True},
            "prior": {"weight": 0.5, "modalities": {"image": 1.0}},
        },
        "model": {"tower": False},
    }
)


@pytest.fixture
def features(federation_study: Study) -> Features:
    values = {name: table for name, table in federation_study.features.values.items() if name != "image"}
    present = {name: there for name, there in federation_study.features.present.items() if name != "image"}
    return replace(federation_study.features, values=values, present=present)


@pytest.fixture
def catalogue(features: Features, federation_study: Study, tmp_path: Path) -> Path:
    encoders = {name: encoder for name, encoder in federation_study.encoders.items() if name != "image"}
    save_features(features, encoders, tmp_path / "catalogue")
    return tmp_path / "catalogue"


def test_a_device_has_the_settings_that_the_server_asks_by(features: Features, catalogue: Path) -> None:
    context = DeviceContext(ACCEPTED, catalogue)
    fitted, said = fit_to_content(ACCEPTED, features)
    assert said != [] and context.config == fitted != ACCEPTED
    places = np.arange(len(features), dtype=np.int64)
    said_items = Broadcast({"items": places}, {"normalise": fitted.collaborative.cooccurrence.normalise})
    asked = make_request(COOCCURRENCE, fitted, 0, said_items, 24, features)
    check_agreed(context.config, asked, features)
    with pytest.raises(ProtocolError):
        check_agreed(ACCEPTED, asked, features)


def test_of_a_whole_catalogue_a_device_has_what_it_accepted(federation_study: Study, tmp_path: Path) -> None:
    whole, _ = cases.place(federation_study, tmp_path)
    run_config = {"config": cases.settings().model_dump_json(), "catalogue": str(whole), "store": str(tmp_path / "s")}
    context = device_of(run_config, {"simulation": True}).device_context
    assert context.config is context.accepted
