"""The operator's side of Flower's SuperLink: which nodes are let in, and which runs there are.

The same calls that the command `flwr` makes, without starting it for each. What they use of Flower is not documented as
public; fedrec is pinned to the version that this was written for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import Status, SubStatus
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedrec.enrolment.request import read_node_key
from fedrec.errors import ProtocolError

# What is run is what is installed on the server: the bundle holds its name and nothing else.
_BUNDLE: Final = {
    "pyproject.toml": """
[project]
name = "fedrec-installed"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "fedrec"
fab-include = ["**/*.py"]
[tool.flwr.app.components]
serverapp = "installed.server:app"
clientapp = "installed.client:app"
[tool.flwr.app.config]
manifest = ""
config = ""
catalogue = ""
stores = ""
slices = 0
roster = ""
out = ""
devices = 0
wait = 300
users = 0
patience = 3600
grace = 2.0
""",
    "installed/__init__.py": "",
    "installed/server.py": "import fedrec.process_start\nfrom fedrec.server.app import app\n",
    "installed/client.py": "import fedrec.process_start\nfrom fedrec.client.app import app\n",
}
RunValue = str | int | float


@dataclass(frozen=True)
class FlowerRun:
    """One run as Flower has it. ``over``: ended, however; ``details``: what Flower says of its end."""

    id: int
    over: bool
    completed: bool
    details: str


@dataclass(frozen=True)
class FlowerNode:
    """One SuperNode as Flower has it; ``key``: its public key, as `node_key_bytes` gives it."""

    id: int
    key: bytes
    online: bool


class ControlApi:
    """Calls to a SuperLink on this machine.

    Args:
        port: its control port, on loopback.
        authority: the certificates that its own is held to.

    Every call raises ProtocolError where the SuperLink does not answer, or refuses.
    """

    def __init__(self, port: int, authority: Path) -> None:
        self._client = ControlHttpClient.from_server_address(
            server_address=f"127.0.0.1:{port}",
            insecure=False,
            root_certificates=authority.read_bytes(),
            interceptors=[RuntimeVersionHttpInterceptor(component_name="fedrec server")],
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def runs(self) -> dict[int, FlowerRun]:
        """All runs, by id."""
        with _said("list runs"):
            found = self._client.ListRuns(ListRunsRequest()).run_dict
        return {
            number: FlowerRun(
                number,
                run.status.status == Status.FINISHED,
                run.status.sub_status == SubStatus.COMPLETED,
                run.status.details,
            )
            for number, run in found.items()
        }

    def start_run(self, config: Mapping[str, RunValue]) -> int:
        """Start the installed server app with this run-config; returns the run's id."""
        bundle, _ = build_fab_from_files({name: text.encode() for name, text in _BUNDLE.items()})
        request = StartRunRequest(fab=Fab(content=bundle), override_config=user_config_to_proto(dict(config)))
        with _said("start a run"):
            answer = self._client.StartRun(request)
        if not answer.HasField("run_id"):
            raise ProtocolError("the SuperLink started no run", action="Look at its log")
        return int(answer.run_id)

    def stop_run(self, number: int) -> None:
        """End a run."""
        with _said("stop a run"):
            self._client.StopRun(StopRunRequest(run_id=number))

    def nodes(self) -> list[FlowerNode]:
        """The SuperNodes that are let in."""
        with _said("list nodes"):
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [
            FlowerNode(one.node_id, bytes(one.public_key), one.status == "online")
            for one in found
            if not one.unregistered_at
        ]

    def register(self, key: bytes) -> None:
        """Let a SuperNode in."""
        with _said("register a node"):
            self._client.RegisterNode(RegisterNodeRequest(public_key=key))

    def unregister(self, number: int) -> None:
        """Let a SuperNode in no more."""
        with _said("unregister a node"):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=number))


def node_key_bytes(text: str) -> bytes:
    """A node's public key as Flower keeps it, from OpenSSH's form. Raises ProtocolError where it is none."""
    return public_key_to_bytes(read_node_key(text))


@contextmanager
def _said(doing: str) -> Iterator[None]:
    """Turn whatever Flower's client raises into ProtocolError."""
    try:
        yield
    except Exception as error:
        answer = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        action = "Look into logs/superlink.log"
        raise ProtocolError(f"the SuperLink does not {doing}", value=answer, action=action) from None
