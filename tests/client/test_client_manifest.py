"""A device starts with what is its own: a manifest that the publisher signed, a catalogue, a roster and a store."""

from __future__ import annotations

import json
from pathlib import Path

import federation_cases as cases
import pytest
from manifest_cases import Deployment, deployed_settings

from fedrec.client import device as device_module
from fedrec.client.device import device_of
from fedrec.client.trust import accepted_manifest, publisher_of, roster_of
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries import run_manifest
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.run_manifest_draft import settled_for_devices
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster
from fedrec.simulation.study import Study

CONFIG = deployed_settings(secure_aggregation={"protocol": "secagg+"})


@pytest.fixture
def deployed(federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    return Deployment.make(federation_study, tmp_path, CONFIG)


def test_settings_come_out_of_the_manifest_and_nothing_out_of_a_runs_config(deployed: Deployment) -> None:
    hostile = deployed_settings(secure_aggregation={"protocol": "none"}, privacy={"epsilon": None})
    said = {
        "config": hostile.model_dump_json(),
        "catalogue": "nowhere",
        "roster": "nowhere",
        "store": "nowhere",
        "stores": "nowhere",
        "manifest": "nowhere",
        "simulation": True,
    }
    device = deployed.device(run_config=said)
    signed = RunManifest.read_unverified(deployed.manifest_file.read_bytes())
    assert device.device_context.config == signed.config
    assert device.device_context.config.secure_aggregation.protocol == "secagg+"
    assert (device.device_context.directory, device.store) == (deployed.catalogue, deployed.stores[0])
    assert device.roster == deployed.roster_file


@pytest.mark.parametrize("name", ["manifest", "catalogue", "roster", "store"])
def test_a_device_without_one_of_its_own_files_does_not_start_and_names_it(name: str, deployed: Deployment) -> None:
    everything = {**deployed.node_config(), "config": CONFIG.model_dump_json()}
    for own in ({**deployed.node_config(), name: ""}, {k: v for k, v in deployed.node_config().items() if k != name}):
        with pytest.raises(ConfigError, match=f"no {name}"):
            device_of(everything, own)
    with pytest.raises(ConfigError, match="no manifest, no catalogue, no roster, no store"):
        device_of(everything, {})


def test_a_word_of_the_servers_makes_no_simulation(deployed: Deployment) -> None:
    said = {"config": CONFIG.model_dump_json(), "catalogue": str(deployed.catalogue), "simulation": True}
    for own in ({}, {"simulation": "true"}, {"simulation": 1}, {"simulation": False}):
        with pytest.raises(ConfigError, match="starts only with its own"):
            device_of(said, {**own, "store": str(deployed.stores[0])})


def test_a_config_of_its_own_must_be_what_was_signed(deployed: Deployment) -> None:
    own = deployed.node_config()
    assert device_of({}, {**own, "config": CONFIG.model_dump_json()})
    other = deployed_settings(secure_aggregation={"protocol": "secagg+"}, training={"rounds": 4})
    with pytest.raises(ConfigError, match="training"):
        device_of({}, {**own, "config": other.model_dump_json()})


def test_the_manifest_must_be_the_publishers(deployed: Deployment) -> None:
    manifest = deployed.draft(CONFIG)
    deployed.manifest_file.write_bytes(manifest.sign(DeviceIdentity.fresh()))
    with pytest.raises(ProtocolError, match="signature"):
        deployed.device()
    deployed.manifest_file.unlink()
    with pytest.raises(ConfigError, match="no run manifest"):
        deployed.device()


def test_a_counter_only_rises(deployed: Deployment) -> None:
    deployed.device()
    deployed.device()
    deployed.sign(deployed.draft(CONFIG))  # the same settings under the same number, with another seed
    with pytest.raises(ProtocolError, match="not newer than number 1"):
        deployed.device()
    newer = deployed.draft(CONFIG, counter=7)
    deployed.sign(newer)
    assert deployed.device().device_context.run_name(5) == newer.digest
    deployed.sign(deployed.draft(CONFIG, counter=6))
    with pytest.raises(ProtocolError, match="not newer than number 7"):
        deployed.device()
    deployed.sign(newer)
    assert deployed.device()
    assert device_of({}, deployed.node_config(1))  # what one device has seen is its own


def test_a_manifest_is_remembered_before_it_is_used(deployed: Deployment) -> None:
    with EventStore.open(deployed.stores[0]) as store:
        manifest = accepted_manifest(store, deployed.manifest_file)
        assert json.loads(store.get_setting("newest run manifest") or "") == [1, manifest.digest]
        assert publisher_of(store) == deployed.publisher.public


def test_other_code_catalogue_or_roster_than_was_signed_is_refused(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr(run_manifest, "installed_code", lambda: run_manifest.SignedCode(version="9", sha256="0" * 64))
        with pytest.raises(ConfigError, match="manifest is for fedrec"):
            deployed.device()
    tree = deployed.draft(CONFIG, counter=2).model_dump(mode="json")
    deployed.sign(RunManifest.model_validate({**tree, "catalogue": "0" * 64}))
    with pytest.raises(ConfigError, match="catalogue is not the one"):
        _ = deployed.device().device_context.features
    manifest = deployed.draft(CONFIG, counter=3)
    newer = Roster.of([*deployed.roster.devices, DeviceIdentity.fresh().public], version=2)
    deployed.roster_file.write_bytes(newer.sign(deployed.publisher))
    with EventStore.open(deployed.stores[0]) as store:
        with pytest.raises(ConfigError, match="roster is not the one"):
            roster_of(store, deployed.roster_file, manifest)
        assert roster_of(store, deployed.roster_file).version == 2


def test_noise_from_a_seed_is_refused_though_it_was_signed(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.sign(deployed.draft(cases.settings(secure_aggregation={"protocol": "secagg+"}), counter=2))
    with pytest.raises(ConfigError, match="reproducible"):
        deployed.device()
    monkeypatch.setenv("FEDREC_SIMULATION", "1")
    assert deployed.device().device_context.manifest is not None


def test_the_name_of_a_run_is_no_word_of_the_servers(deployed: Deployment) -> None:
    context = deployed.device().device_context
    assert context.manifest is not None
    assert context.run_name(1) == context.run_name(2) == context.manifest.digest
    simulated = cases.device(cases.settings(), deployed.catalogue, deployed.stores[0]).device_context
    assert (simulated.run_name(1), simulated.run_name(2)) == ("1", "2")


def test_what_is_signed_is_what_the_server_runs(deployed: Deployment) -> None:
    context = deployed.device().device_context
    settled = settled_for_devices(CONFIG, context.features, cases.USERS)
    assert context.config == settled
    assert device_module.DeviceContext(settled, deployed.catalogue).config == settled
