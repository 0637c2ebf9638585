"""A device that would start runs: it has the authority's certificate, reaches the server, and finds the Fleet API only.

With the fence off, which is Flower's own port, it lists the runs that there are.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from flwr.superlink.main import create_app

from fedrec.client.flower_runtime import free_port
from fedrec.server.fence import FLEET, HEALTH, Fence, allowed
from server.deploy.credentials import write_certificates

ALL = frozenset(create_app().openapi()["paths"])  # of a SuperLink
CONTROL = sorted(path for path in ALL if path.startswith(("/v1/control/", "/v1/runtime/")))
FORMS = (
    "/v1/fleet/../control/start-run",
    "/v1/fleet/%2e%2e/control/start-run",
    "//v1/control/start-run",
    "/v1/fleet/pull-messages/../../control/start-run",
    "/v1/fleet/pull-messages/",
    "/V1/fleet/pull-messages",
    "/v1/fleet",
    "/v1/fleet/pull-messages;/v1/control/start-run",
    "/docs",
    "/openapi.json",
    "/",
    "*",
)


@contextmanager
def served(app: Any, directory: Path) -> Iterator[int]:
    """An ASGI application behind TLS on loopback; gives its port."""
    port = free_port()
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        ssl_certfile=directory / "server.pem",
        ssl_keyfile=directory / "server.key",
        log_level="error",
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """What has the authority's certificate, at the fence and at the SuperLink itself."""
    directory = tmp_path_factory.mktemp("certificates")
    write_certificates(directory)
    trusted = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    with ExitStack() as stack:
        inner = f"https://127.0.0.1:{stack.enter_context(served(create_app(), directory))}"
        outer = f"https://127.0.0.1:{stack.enter_context(served(Fence(inner, trusted), directory))}"
        both = [httpx.Client(base_url=one, verify=trusted, trust_env=False) for one in (outer, inner)]
        for client in both:
            stack.enter_context(client)
        yield both[0], both[1]


def test_what_goes_through_is_the_fleet_api_of_this_flower_and_no_more() -> None:
    assert {path for path in ALL if path.startswith("/v1/fleet")} == FLEET
    assert FLEET | {*CONTROL, HEALTH} == ALL
    assert all(allowed("POST", path) == path for path in FLEET)
    assert allowed("GET", HEALTH) == HEALTH
    assert not [path for path in FLEET if allowed("GET", path)]
    assert len(CONTROL) > 20
    assert not [path for path in (*CONTROL, *FORMS) for method in ("GET", "POST", "PUT") if allowed(method, path)]


def test_a_device_finds_no_control_api_at_the_fence_and_does_at_the_superlink(
    doors: tuple[httpx.Client, httpx.Client],
) -> None:
    fence, superlink = doors
    headers = {"content-type": "application/protobuf", "accept": "application/protobuf"}
    assert {fence.post(path, headers=headers).status_code for path in CONTROL} == {404}
    assert fence.get(HEALTH).status_code == 200
    # The defence off: the same request, where Flower listens.
    listed = superlink.post("/v1/control/list-runs", headers=headers)
    assert (listed.status_code, fence.post("/v1/control/list-runs", headers=headers).status_code) == (200, 404)


@pytest.mark.parametrize("form", FORMS)
def test_no_way_of_writing_a_path_leads_past_the_fence(form: str) -> None:
    asked: list[httpx.Request] = []

    def superlink(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=b"x")

    assert statuses(superlink, "POST", form) == [404]
    assert asked == []


def test_what_is_relayed_keeps_body_and_headers_and_has_the_paths_own_name(
    doors: tuple[httpx.Client, httpx.Client],
) -> None:
    fence, superlink = doors
    asked: list[httpx.Request] = []

    def upstream(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(418, headers={"x-answer": "b"}, stream=httpx.ByteStream(b"answer"))

    sent = {"x-signature": "a", "content-type": "application/x-protobuf", "connection": "close, x-signature"}
    assert statuses(upstream, "POST", "/v1/fleet/pull-messages", b"body", sent, query=b"x=/v1/control") == [418]
    [request] = asked
    assert (request.method, str(request.url)) == ("POST", "https://superlink/v1/fleet/pull-messages")
    assert (request.headers["x-signature"], request.headers["host"]) == ("a", "superlink")
    # And both doors say the same of a request that is none.
    given = [one.post("/v1/fleet/pull-messages", content=b"no protobuf") for one in (fence, superlink)]
    assert given[0].status_code == given[1].status_code != 404
    assert given[0].content == given[1].content


def test_a_superlink_that_is_down_is_said_so() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down", request=request)

    assert statuses(down, "POST", "/v1/fleet/pull-messages") == [502]


def statuses(
    superlink: Any, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, query: bytes = b""
) -> list[int]:
    """What the fence answers to one request, before a SuperLink that is a function."""
    fence = Fence("https://superlink", ssl.create_default_context())
    fence._client = httpx.AsyncClient(base_url="https://superlink", transport=httpx.MockTransport(superlink))
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: Any) -> None:
        said.append(event)

    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": pairs}
    asyncio.run(fence(scope, receive, send))
    return [event["status"] for event in said if event["type"] == "http.response.start"]
