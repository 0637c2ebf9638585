"""A server that makes a release of its own: devices that know their publisher rank with what the publisher approved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hostile_release_cases import KEY, Place, tiny
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.client import release_memory
from fedrec.client.trust import mark_simulated, trust_roster_key
from fedrec.data.store import EventStore
from fedrec.errors import ReleaseError
from fedrec.release.approval import APPROVAL
from fedrec.release.approve import approve_release
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey
from fedrec.secagg.identity import DeviceIdentity

PUBLISHER = DeviceIdentity.fresh()


@pytest.fixture
def device(place: Place) -> Place:
    """A device that was told its publisher; the server's key signed both releases, and nobody approved them."""
    with EventStore.open(place.store) as store:
        trust_roster_key(store, PUBLISHER.public)
    return place


def test_a_release_that_only_the_server_signed_is_refused(device: Place) -> None:
    for settings in ({}, {"trusted_key": device.key}, {"allow_older": True}):
        with pytest.raises(ReleaseError, match="has not approved"):
            device.first(device.new, **settings)
    approve_release(device.new, PUBLISHER)
    assert device.first(device.new) == "i2"
    assert device.first(device.new, trusted_key=device.key) == "i2"


def test_without_the_defence_the_servers_release_ranks(device: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_memory, "release_publisher", lambda store: None)
    assert device.first(device.new) == "i2"


def test_an_approval_is_of_one_release_by_one_publisher(device: Place, tmp_path: Path) -> None:
    approve_release(device.old, PUBLISHER)
    shutil.copy(device.old / APPROVAL, device.new / APPROVAL)
    with pytest.raises(ReleaseError, match="not of this release"):
        device.first(device.new)
    approve_release(device.new, DeviceIdentity.fresh())  # as a server would, with a key that it made
    with pytest.raises(ReleaseError, match="another publisher"):
        device.first(device.new)
    own = (device.new / APPROVAL).read_bytes()
    (device.new / APPROVAL).write_bytes(PUBLISHER.public + own[32:])
    with pytest.raises(ReleaseError, match="not of this release"):
        device.first(device.new)
    for damaged in (b"", own[:95], own + b"x"):
        (device.new / APPROVAL).write_bytes(damaged)
        with pytest.raises(ReleaseError):
            device.first(device.new)
    # What the publisher signs for other purposes approves nothing.
    manifest = (device.new / "manifest.json").read_bytes()
    (device.new / APPROVAL).write_bytes(PUBLISHER.public + PUBLISHER.sign(b"run manifest", manifest))
    with pytest.raises(ReleaseError, match="not of this release"):
        device.first(device.new)


def test_a_new_key_of_the_servers_is_no_way_back(device: Place, tmp_path: Path) -> None:
    approve_release(device.new, PUBLISHER)
    assert device.first(device.new) == "i2"
    old = tmp_path / "resigned"
    write_release(old, tiny(favourite=1), key=SigningKey.fresh(), created_at="2026-11-01T00:00:00Z")
    approve_release(old, PUBLISHER)  # it was, once
    with pytest.raises(ReleaseError, match="this device has ranked with version"):
        device.first(old)
    newer = tmp_path / "newer"
    write_release(newer, tiny(favourite=3), key=SigningKey.fresh(), created_at="2026-11-03T00:00:00Z")
    approve_release(newer, PUBLISHER)
    assert device.first(newer) == "i3"  # who signs may change: the publisher vouches


def test_what_a_release_says_of_itself_makes_it_no_simulation(device: Place, tmp_path: Path) -> None:
    """The store knows whether the device is simulated; a server's release that says so is refused all the same."""
    config = {"collaborative": {"scoring": {"popularity_weight": 0.5}}, "run": {"engine": "grid"}}
    write_release(tmp_path / "pretend", tiny(config=config), key=KEY)
    with pytest.raises(ReleaseError, match="has not approved"):
        device.first(tmp_path / "pretend")
    with EventStore.open(device.store) as store:
        mark_simulated(store)
    assert device.first(tmp_path / "pretend") == "i1"


def test_the_command_approves_and_says_what(device: Place, tmp_path: Path) -> None:
    secret, public = tmp_path / "publisher.key", tmp_path / "publisher.pub"
    secret.write_text(PUBLISHER.private_bytes().hex())
    secret.chmod(0o600)
    public.write_text(PUBLISHER.public.hex())
    runner, app = CliRunner(), build()
    verify = ["release", "verify", str(device.new), "--publisher", str(public)]
    assert runner.invoke(app, verify).exit_code == ReleaseError.exit_code
    done = runner.invoke(app, ["release", "approve", str(device.new), "--key", str(secret)])
    assert done.exit_code == 0, done.output
    assert KEY.fingerprint in done.output
    assert PUBLISHER.private_bytes().hex() not in done.output
    assert "approved by the publisher" in runner.invoke(app, verify).output
    assert read_release(device.new, publisher=PUBLISHER.public).publisher == PUBLISHER.public
