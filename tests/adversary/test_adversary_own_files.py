"""A server that says the settings itself: without secure aggregation and without noise, to devices that have few of
their own files; and then to read what a device's user did."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from manifest_cases import Deployment, deployed_settings
from message_cases import data_of

from fedrec.client import device as device_module
from fedrec.client import installed_code
from fedrec.client.answer_time import NODE_KEY
from fedrec.client.app import app
from fedrec.data.store import EventStore
from fedrec.message_records import to_records
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.study import Study

SIGNED = deployed_settings(secure_aggregation={"protocol": "secagg+"})
HOSTILE = deployed_settings(secure_aggregation={"protocol": "none"}, privacy={"epsilon": None, "shares": {}})
PLACE = 4
# What devices were started with: what they lack, the server says.
STARTED = [(), ("store",), ("store", "roster"), ("store", "roster", "catalogue"), ("store", "roster", "manifest")]


@pytest.fixture
def deployed(federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    monkeypatch.setattr(installed_code, "_allowed", True)  # as in the process that fedrec device start began
    return Deployment.make(federation_study, tmp_path, SIGNED)


def asked(deployed: Deployment, names: tuple[str, ...]) -> Message:
    """What a device with these files of its own replies to a run without any protection."""
    request = cases.envelope(cases.popularity_question(HOSTILE, deployed.study), deployed.study, "first")
    content = to_records(request.fields(), request.parts())
    everything = deployed.node_config(PLACE)
    own = {NODE_KEY: 0, **{name: everything[name] for name in names}}
    said = {
        "config": HOSTILE.model_dump_json(),
        **{name: everything[name] for name in ("store", "catalogue", "roster")},
    }
    with InProcessGrid(app, {0: Context(77, 0, own, RecordDict(), said)}, run_id=77) as grid:
        (reply,) = grid.send_and_receive([Message(content, 0, "query.private_sum", group_id="g")])
    return reply


@pytest.mark.parametrize("names", [*STARTED, ("store", "roster", "catalogue", "manifest")])
def test_the_servers_settings_obtain_nothing(deployed: Deployment, names: tuple[str, ...]) -> None:
    assert not asked(deployed, names).has_content()
    with EventStore.open(deployed.stores[PLACE]) as store:
        assert not DeviceLedger(store).rows()


@pytest.mark.parametrize("names", STARTED)
def test_devices_that_take_what_they_lack_from_the_server_give_everything(
    deployed: Deployment, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "is_simulated", lambda node_config=None: "manifest" not in node_config)
    reply = asked(deployed, names)
    if "manifest" in names:
        assert not reply.has_content()
        return
    agreed = cases.popularity_question(HOSTILE, deployed.study).sum
    share = data_of(reply, "share")
    found = agreed.open(agreed.add(None, share))
    history = deployed.study.population.histories
    own = history.items[history.indptr[PLACE] : history.indptr[PLACE + 1]]
    np.testing.assert_array_equal(np.flatnonzero(found), np.sort(own))
