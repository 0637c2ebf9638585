"""Settings that `fedrec manifest sign` refuses, signed all the same: by another tool, or another version.

Devices that share noise with nothing to mask it: the server sees each contribution with one share of the noise, and the
device's ledger charges it as if all shares were in it. And a place of the noise that is left open: whoever reads it
thinks of the devices, and a device of the server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import federation_cases as cases
import pytest
from manifest_cases import Deployment, deployed_settings
from pytest import MonkeyPatch

from fedrec.config import Config, from_tree
from fedrec.data.store import EventStore
from fedrec.errors import FedrecError
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.queries import run_manifest
from fedrec.queries.run_manifest import RunManifest
from fedrec.simulation.study import Study

MASKED = {"protocol": "secagg+", "minimum_cohort": 20, "minimum_survivors": 15, "resolution_bits": None}
CONFIG = deployed_settings(secure_aggregation=MASKED, privacy={"noise_place": "distributed"})


@pytest.fixture
def deployed(federation_study: Study, tmp_path: Path, monkeypatch: MonkeyPatch) -> Deployment:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    return Deployment.make(federation_study, tmp_path, CONFIG)


def _signed(deployed: Deployment, section: str, key: str, value: object) -> Config:
    """Put a manifest with one setting changed in the place of the right one, as a publisher with another tool would."""
    tree: dict[str, Any] = deployed.draft(CONFIG, counter=2).model_dump(mode="json")
    tree["settings"][section][key] = value
    made = RunManifest.model_construct(**tree)
    body = run_manifest.canonical.encode(tree, what="it")
    signature = deployed.publisher.sign(b"run manifest", body).hex().encode()
    deployed.manifest_file.write_bytes(body + b"\n" + signature + b"\n")
    return from_tree(made.settings)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("secure_aggregation", "protocol", "none"),
        ("secure_aggregation", "protocol", "auto"),
        ("privacy", "noise_place", "auto"),
    ],
)
def test_a_device_takes_no_such_manifest(section: str, key: str, value: str, deployed: Deployment) -> None:
    _signed(deployed, section, key, value)
    with pytest.raises(FedrecError):
        deployed.device()


def test_off_one_share_of_the_noise_is_all_there_is(deployed: Deployment, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(run_manifest, "with_protocol", lambda config, engine: config)
    config = _signed(deployed, "secure_aggregation", "protocol", "none")
    device, study = deployed.device(), deployed.study
    asked = cases.popularity_question(config, study).with_noise_of_devices(config, 8.0, cases.USERS)
    share = device.answer(cases.envelope(asked, study), device.device_context.run_name(1))
    assert len(share) == asked.sum.bytes_up, "nothing masks it"
    with EventStore.open(device.store) as store:
        (row,) = DeviceLedger(store).rows()
    assert row.cost is not None
    assert row.cost.noise_multiplier == pytest.approx(8.0, rel=0.01), "what is charged"
    assert asked.sum.deviation(1) < 3.0 * asked.sum.sensitivity, "what is there"
