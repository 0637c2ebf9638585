"""A server starts as a SuperLink on loopback and a fence, or says what is wrong."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.client.flower_runtime import free_port
from fedrec.errors import ConfigError, ProtocolError
from fedrec.server import superlink
from fedrec.server.superlink import LOOPBACK, ServerFiles, serve_devices
from server.deploy.credentials import write_certificates


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ServerFiles]:
    write_certificates(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield ServerFiles(tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "link.db")
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_superlink_is_on_loopback_authenticates_nodes_and_installs_nothing(files: ServerFiles) -> None:
    command = superlink.superlink_command(files, 9093)
    assert command[command.index("--host") + 1] == LOOPBACK
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(command)
    assert not {"--insecure", "--simulation"} & set(command)


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_a_missing_file_is_named_before_anything_starts(
    files: ServerFiles, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superlink.subprocess, "Popen", None)
    (files.certificate.parent / name).unlink()
    with pytest.raises(ConfigError, match=name):
        serve_devices(files, (LOOPBACK, 1), 2)


def test_operators_and_devices_have_two_ports(files: ServerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superlink.subprocess, "Popen", None)
    with pytest.raises(ConfigError, match="two ports"):
        serve_devices(files, (LOOPBACK, 9093), 9093)


@pytest.mark.parametrize("listen", ["9443", ":9443", "host:", "host:0", "host:65536", "host:x"])
def test_an_address_that_is_none_is_refused(files: ServerFiles, listen: str) -> None:
    options = ["--root-certificates", files.root_certificates, "--certificate", files.certificate]
    options += ["--key", files.key, "--database", files.database, "--listen", listen]
    result = CliRunner().invoke(build(), ["server", "start", *map(str, options)])
    assert result.exit_code == ConfigError.exit_code
    assert "address" in result.output


@pytest.mark.slow
@pytest.mark.flower
def test_a_superlink_that_cannot_start_ends_the_fence_as_well(files: ServerFiles) -> None:
    # A directory where its database should be.
    files.database.mkdir()
    with pytest.raises(ProtocolError, match="the SuperLink ended"):
        serve_devices(files, (LOOPBACK, free_port()), free_port())
