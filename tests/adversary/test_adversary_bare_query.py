"""A publisher's settings promise each device's own noise, and ask a query that no device adds noise to.

Everything that such a run says is "nobody is trusted". A census beside training left with no noise at all: the server
read each device's attributes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
from numpy.typing import NDArray
from pytest import MonkeyPatch

from fedrec.client.device import Device
from fedrec.client.device_context import DeviceContext
from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, PrivacyError
from fedrec.queries.census import CENSUS, Census
from fedrec.queries.plan import costs_of
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Broadcast
from fedrec.queries.run_manifest_words import trusted
from fedrec.queries.schedule import asked_by, make_request
from fedrec.simulation.study import Study

LOCAL: dict[str, Any] = {
    "privacy": {"unit": "example", "epsilon": 1.0, "delta": 1e-5, "noise_place": "local", "shares": {}},
    "model": {"notes": False, "photos": False},
    "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
    "evaluation": {"private_metrics": False},
}
BARE = {**LOCAL, "queries": {"census": {"values": 16}}}


def _asked_for_a_census(config: Config, study: Study, out: Path) -> NDArray[np.float64]:
    """What a server without masks reads of the first device, in which it is interested."""
    catalogue, stores = cases.place(study, out)
    device = Device(DeviceContext(config, catalogue), stores / "00000.sqlite")
    asked = make_request(CENSUS, config, 0, Broadcast(), cases.USERS, study.features)
    share = device.answer(cases.envelope(asked, study), "run")
    return asked.sum.open(asked.sum.add(None, share))


def test_settings_that_leave_a_query_bare_are_none(federation_study: Study) -> None:
    with pytest.raises(ConfigError, match="census"):
        cases.settings(**BARE)
    config = cases.settings(**LOCAL)
    assert [query.name for query in asked_by(config)] == ["training"]
    assert all(query.own_noise for query in asked_by(config))


def test_a_device_reckons_no_such_answer(federation_study: Study, tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    """Settings that got past their own check: before anything is charged, read or sent, the device refuses."""
    catalogue, stores = cases.place(federation_study, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Census, "own_noise", True)
        config = cases.settings(**BARE)
        asked = make_request(CENSUS, config, 0, Broadcast(), cases.USERS, federation_study.features)
    device = Device(DeviceContext(config, catalogue), stores / "00000.sqlite")
    with EventStore.open(device.store) as store, pytest.raises(PrivacyError, match="nobody adds noise"):
        device.cost(store, asked)


def test_off_the_server_reads_what_a_device_holds(
    federation_study: Study, tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.setattr(Census, "own_noise", True)
    config = cases.settings(**BARE)
    assert "Nobody is trusted" in trusted(config)
    assert costs_of(config, cases.USERS) == []
    read = _asked_for_a_census(config, federation_study, tmp_path)
    labels = federation_study.features.labels
    assert labels is not None
    history = federation_study.population.histories.take(np.array([0])).items
    held = {int(value) for item in history for value in labels.places[labels.indptr[item] : labels.indptr[item + 1]]}
    assert {int(value) for value in np.flatnonzero(read > 0.1)} == held, "exactly what its user's items are"


def test_which_queries_devices_can_make_private_is_said_once() -> None:
    assert [query.name for query in QUERIES if query.own_noise] == ["training"]
