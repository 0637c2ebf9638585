"""Fetching over TLS: from a server under the invite's authority, as much as was agreed, and from no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedrec.client.flower_runtime import free_port
from fedrec.client.own.fetch import PublicServer
from fedrec.enrolment.invite import Invite
from fedrec.errors import ConfigError, ProtocolError
from fedrec.server.fence import Fence
from fedrec.server.operation.certificates import Authority, expiry_of
from fedrec.server.operation.public_files import PublicFiles
from fedrec.server.superlink import ServerFiles, fence_server

AUTHORITY = Authority.fresh("ours")


@contextmanager
def fence(out: Path, authority: Authority = AUTHORITY, days: int = 1) -> Iterator[int]:
    """A fence with public files and no SuperLink behind it; gives its port."""
    import ssl

    out.mkdir()
    authority.write(out / "ca.pem", out / "ca.key")
    authority.write_server(out / "server.pem", out / "server.key", (), days)
    public = out / "public"
    (public / "catalogue").mkdir(parents=True)
    (public / "manifest").write_bytes(b"m" * 1000)
    files = ServerFiles(out / "ca.pem", out / "server.pem", out / "server.key", out / "link.db")
    trusted = ssl.create_default_context(cafile=str(out / "ca.pem"))
    port = free_port()
    app = Fence(f"https://127.0.0.1:{free_port()}", trusted, PublicFiles(public))
    server = fence_server(files, ("127.0.0.1", port), app)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


def asked(port: int, authority: Authority = AUTHORITY) -> PublicServer:
    text = authority.certificates.decode()
    made = Invite(name="x", address=f"127.0.0.1:{port}", authority=text, publisher="0" * 64, catalogue="0" * 64)
    return PublicServer(made)


def test_a_file_comes_whole_and_never_more_of_it_than_was_agreed(tmp_path: Path) -> None:
    with fence(tmp_path / "server") as port, asked(port) as server:
        assert server.get("manifest", most=1000) == b"m" * 1000
        assert server.get("roster", most=1000) is None
        with pytest.raises(ProtocolError, match="more than was agreed"):
            server.get("manifest", most=999)
        server.save("manifest", most=1000, place=tmp_path / "kept")
        assert (tmp_path / "kept").stat().st_size == 1000
        with pytest.raises(ProtocolError, match="no such file"):
            server.save("catalogue", "none.json", most=10, place=tmp_path / "none")


def test_a_server_under_another_authority_is_not_asked(tmp_path: Path) -> None:
    with (
        fence(tmp_path / "server", Authority.fresh("theirs")) as port,
        asked(port) as server,
        pytest.raises(ProtocolError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        server.get("manifest", most=1000)


def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    with fence(tmp_path / "server", days=0) as port, asked(port) as server:
        while expiry_of(tmp_path / "server" / "server.pem") > datetime.now(UTC):
            time.sleep(0.05)
        time.sleep(1.1)  # certificates count in seconds
        with pytest.raises(ProtocolError, match="expired"):
            server.get("manifest", most=1000)


def test_an_authority_that_is_none_is_refused() -> None:
    made = Invite(name="x", address="127.0.0.1:1", authority="no PEM", publisher="0" * 64, catalogue="0" * 64)
    with pytest.raises(ConfigError, match="authority"):
        PublicServer(made)
