"""One door, shown in the source: nothing on a device but the app can send anything."""

from __future__ import annotations

import ast
from pathlib import Path

import fedrec.client

ROOT = Path(fedrec.client.__file__).parents[1]
SOURCES = sorted((ROOT / "client").glob("**/*.py"))


NETWORK = {"socket", "http", "urllib", "requests", "httpx", "grpc", "smtplib", "ftplib", "ssl", "asyncio", "aiohttp"}


def imported(source: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def fedrec_modules(source: Path) -> set[str]:
    tree = ast.walk(ast.parse(source.read_text(encoding="utf-8")))
    names = {node.module for node in tree if isinstance(node, ast.ImportFrom) and node.module}
    return {name for name in names if name.split(".")[0] == "fedrec"}


def module_name(source: Path) -> str:
    return ".".join(source.relative_to(ROOT.parent).with_suffix("").parts)


def imports_any(module: str, wanted: set[str]) -> bool:
    return bool(fedrec_modules(ROOT.parent / Path(*module.split(".")).with_suffix(".py")) & wanted)


def test_only_the_app_speaks_to_flower_and_nothing_on_a_device_opens_a_connection() -> None:
    assert len(SOURCES) > 5
    # The second takes messages from the SuperNode on this machine and hands it the app's answers; the third is about
    # how that SuperNode, Flower's own process, looks for messages.
    speaking = ["app.py", "flower_runtime.py", "supernode_messages.py"]
    assert [source.name for source in SOURCES if "flwr" in imported(source)] == speaking
    opened = {source.name: imported(source) & NETWORK for source in SOURCES if imported(source) & NETWORK}
    # The owner's commands fetch the public files of an invite; what answers a server's messages never reaches them.
    assert opened == {"flower_runtime.py": {"httpx", "socket"}, "fetch.py": {"httpx", "ssl"}}


def test_what_answers_messages_never_reaches_what_fetches() -> None:
    reaching = {"fedrec.client.own.fetch"}
    while more := {module for module in map(module_name, SOURCES) if imports_any(module, reaching)} - reaching:
        reaching |= more
    assert reaching == {f"fedrec.client.own.{name}" for name in ("fetch", "up", "update")}


def test_what_speaks_to_the_supernode_knows_nothing_of_a_device() -> None:
    runtime = next(source for source in SOURCES if source.name == "flower_runtime.py")
    assert fedrec_modules(runtime) == {"fedrec.errors", "fedrec.queries.wire"}
    messages = next(source for source in SOURCES if source.name == "supernode_messages.py")
    assert fedrec_modules(messages) == {
        *("fedrec.client.flower_runtime", "fedrec.errors", "fedrec.polling", "fedrec.server_failures")
    }
    executor = next(source for source in SOURCES if source.name == "executor.py")
    assert fedrec_modules(executor) == {"fedrec.client.flower_runtime", "fedrec.errors", "fedrec.polling"}
