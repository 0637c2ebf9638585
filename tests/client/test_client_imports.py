"""A message to a device starts a process in a deployment: those that need no model must not wait for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import federation_cases as cases
import pytest

from fedrec.simulation.engines.enlist import enlist
from fedrec.simulation.study import Study

HEAVY = {"torch", "opacus", "dp_accounting", "tokenizers", "PIL"}
ADVERTISE = """
import sys
from fedrec.client.app import app
from fedrec.client.device import device_of
from fedrec.client.secure_device import SecureDevice
from fedrec.queries.popularity import POPULARITY
from fedrec.queries.request import Broadcast
from fedrec.queries.schedule import make_request
from fedrec.queries.secure_wire import Invitation
from fedrec.queries.wire import Envelope
config, catalogue, store, roster = sys.argv[1:]
device = device_of({"config": config, "catalogue": catalogue}, {"store": store, "roster": roster, "simulation": True})
known = device.device_context
request = make_request(POPULARITY, known.config, 0, Broadcast(), 24, known.features)
asked = Envelope(request, "s" * 32, known.catalogue)
print(len(SecureDevice(device).advertise("run", Invitation(asked, 0))))
print(*sorted(HEAVY & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_device_advertises_without_loading_what_computes(federation_study: Study, tmp_path: Path) -> None:
    catalogue, stores = cases.place(federation_study, tmp_path)
    config = cases.settings(secure_aggregation={"protocol": "secagg+"}).model_dump_json()
    arguments = [config, str(catalogue), str(stores / "00000.sqlite"), str(enlist(stores))]
    code = f"HEAVY = {HEAVY}\n{ADVERTISE}"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split("\n")[1:] == ["", ""]
    assert int(done.stdout.split("\n")[0]) > 100
