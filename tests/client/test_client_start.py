"""What a device checks before it connects: all that is its own, and that the publisher signed it for this code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from manifest_cases import Deployment, deployed_settings

from fedrec.client import start
from fedrec.client.supernode import Connection
from fedrec.client.trust import trust_roster_key
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, FedrecError, ProtocolError
from fedrec.queries import run_manifest
from fedrec.simulation.study import Study


@pytest.fixture(scope="module")
def deployment(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return Deployment.make(federation_study, tmp_path_factory.mktemp("deployment"), deployed_settings())


def test_a_device_with_all_that_is_its_own_may_start(deployment: Deployment) -> None:
    device = start.check_device(deployment.node_config())
    assert device.store == deployment.stores[0]
    # What takes long is read before the first message comes.
    assert {"handler", "features"} <= set(vars(device.device_context))


@pytest.mark.parametrize("missing", ["manifest", "catalogue", "roster", "store"])
def test_a_device_that_lacks_something_does_not_start(deployment: Deployment, missing: str) -> None:
    own = {name: path for name, path in deployment.node_config().items() if name != missing}
    with pytest.raises(ConfigError, match=missing):
        start.check_device(own)


def test_a_device_that_the_roster_does_not_list_does_not_start(deployment: Deployment, tmp_path: Path) -> None:
    with EventStore.create(tmp_path / "new.sqlite") as store:
        trust_roster_key(store, deployment.publisher.public)
    with pytest.raises(ConfigError, match="does not list this device"):
        start.check_device({**deployment.node_config(), "store": str(tmp_path / "new.sqlite")})


def test_a_manifest_of_another_publisher_or_for_other_code_is_refused(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = replace(deployment, publisher=type(deployment.publisher).fresh(), manifest_file=tmp_path / "theirs")
    stranger.sign(deployment.draft(deployed_settings(), counter=2))
    with pytest.raises(ProtocolError):
        start.check_device({**deployment.node_config(), "manifest": str(tmp_path / "theirs")})
    other = run_manifest.SignedCode(version="9.9", sha256="0" * 64)
    monkeypatch.setattr(run_manifest, "installed_code", lambda: other)
    with pytest.raises(ConfigError, match="Install the version that the publisher signed"):
        start.check_device(deployment.node_config())


def test_a_simulated_device_is_not_started(deployment: Deployment) -> None:
    with pytest.raises(ConfigError, match="simulated"):
        start.check_device({**deployment.node_config(), "simulation": True})


def test_nothing_is_connected_before_all_is_checked(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connected(*_: object) -> None:
        raise AssertionError("it connected")

    monkeypatch.setattr(start, "supernode", connected)
    monkeypatch.setattr(start, "allow_installed_code", connected)
    for name in ("ca.pem", "node"):
        (tmp_path / name).touch(mode=0o600)
    connection = Connection("127.0.0.1:1", tmp_path / "ca.pem", tmp_path / "node")
    # This process is not isolated.
    with pytest.raises(ConfigError, match="isolated"):
        start.start_device(deployment.node_config(), connection)
    monkeypatch.setattr(start, "refuse_unless_isolated", lambda: None)
    with pytest.raises(FedrecError, match="no roster"):
        start.start_device({**deployment.node_config(), "roster": str(tmp_path / "gone")}, connection)
    with pytest.raises(ConfigError, match="key"):
        start.start_device(deployment.node_config(), replace(connection, node_key=tmp_path / "gone"))
