"""A device's own directory, and a server that gives it what it should not take."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from operation_cases import OperatedServer, write_catalogue

from fedrec.client.own.device_directory import DeviceDirectory
from fedrec.client.own.enrol import make_device
from fedrec.client.own.fetch import PublicServer
from fedrec.client.own.update import Updates
from fedrec.client.trust import publisher_of
from fedrec.content.feature_table import load_table
from fedrec.data.store import EventStore
from fedrec.enrolment.invite import read_invite
from fedrec.errors import ConfigError, ProtocolError, ReleaseError, StoreError
from fedrec.release.approve import approve_release
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import load_key
from fedrec.secagg.identity import DeviceIdentity
from fedrec.server.operation.approve import approve_and_publish, finished_release, publish_release
from fedrec.server.operation.publisher import publisher_key


class FilesServer(PublicServer):
    """Answers from a directory, as a server does over TLS, and breaks its word about sizes where it is told to."""

    def __init__(self, public: Path) -> None:
        self.public = public
        self.asked: list[str] = []

    def get(self, *name: str, most: int) -> bytes | None:
        self.asked.append("/".join(name))
        path = self.public.joinpath(*name)
        if not path.is_file():
            return None
        data = path.read_bytes()
        if len(data) > most:
            raise ProtocolError("the server sends more than was agreed", value="/".join(name))
        return data

    def save(self, *name: str, most: int, place: Path) -> None:
        data = self.get(*name, most=most)
        if data is None:
            raise ProtocolError("the server has no such file", value="/".join(name))
        place.write_bytes(data)


@pytest.fixture
def server(tmp_path: Path) -> OperatedServer:
    return OperatedServer.make(tmp_path)


def _enrolled(server: OperatedServer) -> tuple[DeviceDirectory, Updates, FilesServer]:
    server.enrolled("a", "b")
    device = DeviceDirectory(server.directory.parent / "a")
    files = FilesServer(server.made.server.public)
    return device, Updates(device, files), files


def _release(server: OperatedServer, version: int | None = None) -> Path:
    """What a finished run of the server would leave."""
    out = server.made.server.run(1)
    contents = ReleaseContents(
        name="small", items=load_table(server.made.server.catalogue), model=None, collaborative=None
    )
    write_release(out / "model", contents, key=load_key(out / "release.key"), replace=True, version=version)
    (out / "server.json").write_text("{}", encoding="utf-8")
    return out / "model"


def test_a_device_believes_the_invites_publisher_for_good(server: OperatedServer, tmp_path: Path) -> None:
    device = server.device("phone")
    with EventStore.open(device.store) as store:
        assert publisher_of(store) == server.publisher_key
    for secret in (device.node_key, device.store):
        assert secret.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="already"):
        server.device("phone")
    other = OperatedServer.make(tmp_path, "other")
    with pytest.raises(ProtocolError, match="another roster key"):
        make_device(tmp_path / "phone-2", other.made.invite, store=device.store)
    assert list((tmp_path / "phone-2").iterdir()) == []


def test_a_store_that_is_there_is_taken_and_stays_where_it_is(server: OperatedServer, tmp_path: Path) -> None:
    place = tmp_path / "mine.sqlite"
    with EventStore.create(place) as store:
        store.add_user("me")
    device = make_device(tmp_path / "tablet", server.made.invite, store=place, name="tablet.1")
    assert (device.store, device.facts().name) == (place, "tablet.1")
    with pytest.raises(StoreError):
        make_device(tmp_path / "none", server.made.invite, store=tmp_path / "none.sqlite")
    with pytest.raises(ConfigError, match="name"):
        make_device(tmp_path / "x", server.made.invite, name="no name")


def test_a_device_waits_to_be_enrolled_and_then_has_all_that_is_its_own(server: OperatedServer) -> None:
    _, updates, files = _enrolled(server)
    taken = updates.run()
    assert taken is not None and taken.counter == 1
    assert taken.manifest.read_bytes() == server.made.server.manifest.read_bytes()
    assert taken.roster.read_bytes() == server.made.server.roster.read_bytes()
    assert load_table(taken.catalogue).digest() == load_table(server.made.server.catalogue).digest()
    asked = len(files.asked)
    assert updates.run() == taken
    assert files.asked[asked:] == ["manifest"]
    stranger = server.device("stranger")
    assert Updates(stranger, files).run() is None
    assert not stranger.runs.exists()


def test_a_device_that_was_withdrawn_takes_part_in_nothing_newer(server: OperatedServer) -> None:
    _, updates, _ = _enrolled(server)
    server.enrolled("c", withdrawn=("a",))
    assert updates.run() is None


@pytest.mark.parametrize("tampered", ["manifest", "roster", "catalogue/features.safetensors"])
def test_what_was_tampered_with_is_not_taken(server: OperatedServer, tampered: str) -> None:
    device, updates, _ = _enrolled(server)
    path = server.made.server.public / tampered
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Exception) as caught:
        updates.run()
    assert caught.value.__class__.__module__.startswith("fedrec.")
    assert list(device.path.glob("runs/*/manifest")) == []
    assert [one.name for one in device.catalogues.glob("*")] == []


def test_another_catalogue_than_the_signed_one_is_not_taken(server: OperatedServer, tmp_path: Path) -> None:
    _, updates, _ = _enrolled(server)
    shutil.rmtree(server.made.server.catalogue)
    write_catalogue(server.made.server.catalogue, items=13)
    with pytest.raises(ConfigError, match="not the one that the manifest names"):
        updates.run()


def test_an_older_manifest_and_a_second_one_of_the_same_number_are_refused(server: OperatedServer) -> None:
    _, updates, _ = _enrolled(server)
    first = server.made.server.manifest.read_bytes()
    server.enrolled()
    taken = updates.run()
    assert taken is not None and taken.counter == 2
    server.made.server.manifest.write_bytes(first)
    with pytest.raises(ProtocolError, match="older manifest"):
        updates.run()
    taken.manifest.write_bytes(first)  # stands for another one that the publisher signed with this number
    server.enrolled()
    server.made.server.manifest.write_bytes(server.made.server.run_files(2)[0].read_bytes())
    with pytest.raises(ProtocolError):
        updates.run()


def test_a_server_that_forgets_everything_changes_nothing(server: OperatedServer) -> None:
    _, updates, _ = _enrolled(server)
    taken = updates.run()
    server.made.server.manifest.unlink()
    assert updates.run() == taken


def test_a_release_is_pulled_only_as_the_publisher_approved_it(server: OperatedServer) -> None:
    device, updates, _ = _enrolled(server)
    assert updates.release() is None
    made = _release(server)
    shutil.copytree(made, server.made.server.release)
    with pytest.raises(ReleaseError, match="not approved"):
        updates.release()
    approve_release(server.made.server.release, DeviceIdentity.fresh())
    with pytest.raises(ReleaseError, match="another publisher"):
        updates.release()
    assert not device.release.exists()
    shutil.rmtree(server.made.server.release)
    key = publisher_key(server.made.publisher)
    version = approve_and_publish(server.made.server, finished_release(server.made.server), key).version
    assert updates.release() == version
    assert read_release(device.release, publisher=server.publisher_key).version == version
    assert updates.release() is None
    assert sorted(path.name for path in device.path.iterdir() if path.name.startswith(".")) == []


def test_a_rolled_back_a_damaged_and_a_padded_release_leave_the_one_that_there_is(server: OperatedServer) -> None:
    device, updates, _ = _enrolled(server)
    key, public = publisher_key(server.made.publisher), server.made.server.release
    older = approve_and_publish(server.made.server, _release(server, version=5), key)
    shutil.copytree(public, public.parent / "kept")
    approve_and_publish(server.made.server, _release(server, version=7), key)
    assert updates.release() == 7
    with pytest.raises(ReleaseError, match="version 7"):
        publish_release(server.made.server, public.parent / "kept")
    shutil.rmtree(public)
    shutil.copytree(public.parent / "kept", public)
    with pytest.raises(ReleaseError, match="older release"):
        updates.release()
    shutil.rmtree(public)
    approve_and_publish(server.made.server, _release(server, version=9), key)
    for name, change in (("config.json", b"x"), ("features.safetensors", b"")):
        good = (public / name).read_bytes()
        (public / name).write_bytes(good[:-1] + change if change == b"" else good + change)
        with pytest.raises((ReleaseError, ProtocolError)):
            updates.release()
        (public / name).write_bytes(good)
    assert read_release(device.release).version == 7
    assert older.version == 5


def test_a_wrong_authority_is_named(server: OperatedServer) -> None:
    invite = read_invite(server.made.invite)
    with PublicServer(invite) as files, pytest.raises(ProtocolError, match="does not answer"):
        files.get("manifest", most=10)
