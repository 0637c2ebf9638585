"""Health, readiness and figures over HTTP on loopback: for supervisors and for Prometheus. Figures need the token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from fedrec.errors import FedrecError
from fedrec.local_http import bearer
from fedrec.server.fence import Receive, Scope, Send
from fedrec.server.operation.server_directory import ServerDirectory
from fedrec.server.operation.status import server_status
from fedrec.server.superlink import LOOPBACK

_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = b"application/json"


class Monitor:
    """An ASGI application. ``/health``: this process answers.  ``/ready``: devices can take part now (else 503).
    ``/metrics``: Prometheus's text format, for ``Authorization: Bearer TOKEN``.

    Args:
        server: whose ``token`` opens the figures.
    """

    def __init__(self, server: ServerDirectory) -> None:
        self._server = server
        self._token = server.token.read_text(encoding="ascii").strip()

    def server(self, port: int) -> uvicorn.Server:
        """What answers on loopback at a port; it is not started yet."""
        config = uvicorn.Config(
            self, host=LOOPBACK, port=port, ws="none", lifespan="off", access_log=False, log_level="warning"
        )
        return uvicorn.Server(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope)
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Scope) -> tuple[int, bytes, bytes]:
        if scope["method"] != "GET" or scope["path"] not in ("/health", "/ready", "/metrics"):
            return 404, _JSON, b"{}\n"
        if scope["path"] == "/health":
            return 200, _JSON, b'{"status": "up"}\n'
        if scope["path"] == "/metrics" and not self._may_read(scope):
            return 401, _JSON, b'{"error": "send Authorization: Bearer and the token"}\n'
        try:
            status = server_status(self._server)
        except FedrecError as error:
            return 503, _JSON, json.dumps({"ready": False, "why": error.what}).encode() + b"\n"
        if scope["path"] == "/metrics":
            return 200, _TEXT, "".join(f"{line}\n" for line in exposition(status)).encode()
        why = not_ready(status)
        return 503 if why else 200, _JSON, json.dumps({"ready": not why, "why": why}).encode() + b"\n"

    def _may_read(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return bearer({"authorization": given.decode("latin-1")}, self._token)


def not_ready(status: dict[str, Any]) -> str:
    """Why devices cannot take part now; empty where they can."""
    if not status["up"]:
        return "the server is not up"
    down = [name for name, process in status["processes"].items() if not process["alive"]]
    return f"{', '.join(down)} does not run" if down else str(status["problem"])


def exposition(status: dict[str, Any]) -> Iterator[str]:
    """A server's figures in Prometheus's text format; nobody is named in them."""
    run = status["run"]
    rows: list[tuple[str, str, str, list[tuple[str, float | None]]]] = [
        ("fedrec_up", "gauge", "Whether the server is up.", [("", float(status["up"]))]),
        (
            "fedrec_process_up",
            "gauge",
            "Whether a process of the server runs.",
            [(f'process="{name}"', float(one["alive"])) for name, one in status["processes"].items()],
        ),
        (
            "fedrec_process_restarts_total",
            "counter",
            "How often a process was started again.",
            [(f'process="{name}"', float(one["restarts"])) for name, one in status["processes"].items()],
        ),
        ("fedrec_nodes_enrolled", "gauge", "SuperNodes that are let in.", [("", status["nodes"]["registered"])]),
        ("fedrec_nodes_online", "gauge", "SuperNodes that are there.", [("", status["nodes"]["online"])]),
        ("fedrec_manifest_counter", "gauge", "The newest manifest's counter.", [("", run["counter"])]),
        (
            "fedrec_run_phase",
            "gauge",
            "What the newest run is at.",
            [(f'phase="{one}"', float(one == run["phase"])) for one in PHASES],
        ),
        ("fedrec_run_attempts", "gauge", "Attempts since the last opened sum.", [("", run["attempts"])]),
        ("fedrec_sums_opened", "gauge", "Sums opened in the newest run.", [("", run["sums"])]),
        ("fedrec_epsilon_spent", "gauge", "Epsilon of the newest run's ledger.", [("", run["epsilon_spent"])]),
        ("fedrec_epsilon_budget", "gauge", "Epsilon that it may spend.", [("", run["epsilon_budget"])]),
        ("fedrec_release_version", "gauge", "The release that devices may fetch.", [("", status["release_version"])]),
        (
            "fedrec_certificate_seconds",
            "gauge",
            "Seconds until the server's certificate ends.",
            [("", status["certificate_seconds"])],
        ),
    ]
    for name, kind, about, values in rows:
        there = [(labels, value) for labels, value in values if value is not None]
        if there:
            yield f"# HELP {name} {about}"
            yield f"# TYPE {name} {kind}"
            yield from (f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}" for labels, value in there)


PHASES: Final = ("waiting", "running", "paused", "finished", "stopped")
