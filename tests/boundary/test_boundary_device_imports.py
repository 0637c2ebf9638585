"""One door, shown in the source: nothing on a device but the app can send anything."""

from __future__ import annotations

import ast
from pathlib import Path

import fedrec.client

SOURCES = sorted(Path(fedrec.client.__file__).parent.glob("**/*.py"))


NETWORK = {"socket", "http", "urllib", "requests", "httpx", "grpc", "smtplib", "ftplib", "ssl", "asyncio", "aiohttp"}


def imported(source: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_only_the_app_speaks_to_flower_and_nothing_on_a_device_opens_a_connection() -> None:
    assert len(SOURCES) > 5
    assert [source.name for source in SOURCES if "flwr" in imported(source)] == ["app.py"]
    assert {source.name: imported(source) & NETWORK for source in SOURCES if imported(source) & NETWORK} == {}
