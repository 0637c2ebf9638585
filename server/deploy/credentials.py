"""Certificates for a check on loopback that lasts minutes."""

from __future__ import annotations

from pathlib import Path

from fedrec.server.operation.certificates import Authority
from fedrec.whole_files import PUBLIC, write_whole


def write_certificates(directory: Path) -> None:
    """``ca.pem``, and ``server.pem`` with ``server.key`` for 127.0.0.1 and localhost, signed by it, for a day.

    The authority's secret key is forgotten at once.
    """
    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority.fresh("fedrec deployment check", days=1)
    write_whole(directory / "ca.pem", authority.certificates, mode=PUBLIC)
    authority.write_server(directory / "server.pem", directory / "server.key", (), days=1)
