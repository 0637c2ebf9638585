"""A server's set-up: two halves with their secrets apart, certificates that hold, versions that only rise."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from operation_cases import OperatedServer

from fedrec.errors import ConfigError, ProtocolError, StoreError
from fedrec.queries.run_manifest import read_manifest
from fedrec.secagg.identity import DeviceIdentity
from fedrec.server.operation import initialise as module
from fedrec.server.operation.certificates import Authority, expiry_of
from fedrec.server.operation.enrol import enrol
from fedrec.server.operation.install import install_run
from fedrec.server.operation.publisher import enrolled_devices, read_signed_run, sign_next
from fedrec.server.operation.server_directory import check_private
from fedrec.server.roster_files import load_roster_key, read_roster
from fedrec.whole_files import write_json


@pytest.fixture
def server(tmp_path: Path) -> OperatedServer:
    return OperatedServer.make(tmp_path)


def _enrol(directory: Path, *files: Path, again: bool = False, replace: bool = False) -> dict[str, object]:
    return enrol(directory, files, (), (), 0, None, again=again, replace=replace)


def test_secrets_are_their_owners_alone_and_the_server_has_none_of_the_publishers(server: OperatedServer) -> None:
    halves = (server.made.server.path, server.made.publisher.path)
    for half in halves:
        assert half.stat().st_mode & 0o077 == 0
        for secret in ("server.key", "release.key", "token", "superexec.secret", "publisher.key", "ca.key"):
            if (half / secret).exists():
                assert (half / secret).stat().st_mode & 0o077 == 0
    of_publisher = load_roster_key(server.made.publisher.key).private_bytes().hex().encode()
    of_authority = server.made.publisher.authority_key.read_bytes()
    for path in server.made.server.path.rglob("*"):
        if path.is_file():
            assert of_publisher not in path.read_bytes() and of_authority not in path.read_bytes()


def test_the_certificate_is_for_the_hosts_and_under_the_authority(tmp_path: Path) -> None:
    made = OperatedServer.make(tmp_path, hosts=("fedrec.example.org", "192.0.2.7")).made
    leaf = x509.load_pem_x509_certificate(made.server.certificate.read_bytes())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(made.server.authority.read_bytes()))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fedrec.example.org", "localhost"]
    assert made.address == "fedrec.example.org:19443"
    assert expiry_of(made.server.certificate) > datetime.now(UTC)


def test_ones_own_authority_certifies_and_its_key_stays_where_it_was(tmp_path: Path) -> None:
    Authority.fresh("ours").write(tmp_path / "ours.pem", tmp_path / "ours.key")
    made = OperatedServer.make(tmp_path, authority=(tmp_path / "ours.pem", tmp_path / "ours.key")).made
    assert made.server.authority.read_bytes() == (tmp_path / "ours.pem").read_bytes()
    assert not made.publisher.authority_key.exists()
    Authority.fresh("another").write(tmp_path / "another.pem", tmp_path / "another.key")
    with pytest.raises(ConfigError, match="not its certificate's"):
        Authority.read(tmp_path / "ours.pem", tmp_path / "another.key")


def test_a_directory_that_is_one_already_is_refused_and_left_alone(server: OperatedServer, tmp_path: Path) -> None:
    key = server.made.publisher.key.read_bytes()
    with pytest.raises(ConfigError, match="already"):
        OperatedServer.make(tmp_path)
    assert server.made.publisher.key.read_bytes() == key


def test_what_was_half_made_is_taken_away_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("cannot write release.key: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "create_key", full)
        with pytest.raises(StoreError, match="No space"):
            OperatedServer.make(tmp_path)
    assert not (tmp_path / "deployment" / "server").exists()
    assert not (tmp_path / "deployment" / "publisher").exists()
    OperatedServer.make(tmp_path)


def test_versions_and_counters_only_rise_and_the_roster_follows_who_is_there(server: OperatedServer) -> None:
    first = server.enrolled("a", "b", "c")
    assert (first.counter, first.roster.version, first.roster.devices) == (1, 1, 3)
    again = server.enrolled()
    assert (again.counter, again.roster.version) == (2, 1)
    left = server.enrolled(withdrawn=("b",))
    assert (left.counter, left.roster.version, left.roster.devices) == (3, 2, 2)
    kept = enrolled_devices(server.made.publisher)
    roster = read_roster(server.made.server.roster, server.publisher_key)
    assert {one.hex() for one in roster.devices} == {one.identity for one in kept.listed.values()}
    assert kept.devices["b"].until == 2
    for counter, devices in ((1, 3), (2, 3), (3, 2)):
        manifest, kept_roster = server.made.server.run_files(counter)
        assert read_manifest(manifest, server.publisher_key).counter == counter
        assert len(read_roster(kept_roster, server.publisher_key).devices) == devices


def test_who_is_enrolled_is_not_enrolled_twice_and_no_name_is_taken_over(
    server: OperatedServer, tmp_path: Path
) -> None:
    request = server.request("a")
    publisher = server.made.publisher
    sign_next(publisher, [request, server.request("b")])
    sign_next(publisher, [request])
    assert enrolled_devices(publisher).version == 1
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError, match="this name"):
        other = server.request("z").model_copy(update={"name": "a"})
        sign_next(publisher, [other])
    with pytest.raises(ConfigError, match="another name"):
        sign_next(publisher, [request.model_copy(update={"name": "c"})])
    with pytest.raises(ConfigError, match="no such device"):
        sign_next(publisher, [], withdrawn=["nobody"])
    assert enrolled_devices(publisher).counter == 2


def test_the_server_takes_nothing_that_its_publisher_did_not_sign_or_that_is_older(
    server: OperatedServer, tmp_path: Path
) -> None:
    other = OperatedServer.make(tmp_path, "other")
    foreign, _ = sign_next(other.made.publisher, [other.request("x"), other.request("y")])
    with pytest.raises(ProtocolError, match="signature"):
        install_run(server.made.server, foreign)
    old, _ = sign_next(server.made.publisher, [server.request("a"), server.request("b")])
    new, _ = sign_next(server.made.publisher, [])
    install_run(server.made.server, new)
    with pytest.raises(ConfigError, match="already"):
        install_run(server.made.server, old)
    assert install_run(server.made.server, new).counter == 2


def test_publisher_and_server_can_be_two_machines(server: OperatedServer, tmp_path: Path) -> None:
    requests = [server.device(name).request for name in ("a", "b")]
    apart = tmp_path / "apart"
    apart.mkdir()
    shutil.move(server.made.publisher.path, apart / "publisher")
    with pytest.raises(ConfigError, match="keys are not here"):
        _enrol(server.directory)
    told = _enrol(apart, *requests)
    assert told["carry"] == apart / "signed.json"
    assert read_signed_run(apart / "signed.json").nodes.keys() == {"a", "b"}
    assert _enrol(server.directory, apart / "signed.json")["counter"] == 1
    assert server.made.server.manifest.is_file()


def test_a_run_that_is_under_way_is_not_broken_off_without_a_word(
    server: OperatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [server.device(name).request for name in ("a", "b")]
    _enrol(server.directory, *requests)
    with pytest.raises(ConfigError, match="nothing to sign"):
        _enrol(server.directory)
    write_json(server.made.server.state, {"run": {"phase": "running", "sums": 1, "counter": 1}})
    monkeypatch.setattr("fedrec.server.operation.enrol.is_up", lambda running: True)
    with pytest.raises(ConfigError, match="under way"):
        _enrol(server.directory, again=True)
    assert _enrol(server.directory, again=True, replace=True)["counter"] == 2


def test_a_publishers_directory_that_others_can_enter_is_refused(server: OperatedServer) -> None:
    server.made.publisher.path.chmod(0o755)
    with pytest.raises(ConfigError, match="others may look"):
        check_private(server.made.publisher.path)
    with pytest.raises(ConfigError, match="others may look"):
        sign_next(server.made.publisher, [server.request("a")])


def test_the_release_key_of_a_run_is_the_servers(server: OperatedServer) -> None:
    server.enrolled("a", "b")
    assert (server.made.server.run(1) / "release.key").read_bytes() == server.made.server.release_key.read_bytes()
    assert DeviceIdentity.fresh().public != server.publisher_key
