"""The server's door for devices: what a SuperNode asks of the Fleet API goes through, and nothing else.

Flower's SuperLink answers operators (control API), its own processes (runtime API) and devices (Fleet API) at one port.
Whoever reaches that port with the authority's certificate, which every device has, may start and stop runs, register
nodes and read logs.  So the SuperLink listens on loopback only, and devices reach this relay instead.  It relays by
constant paths: what is asked decides which, and is not sent on.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

import httpx

from fedrec.enrolment.public_paths import PREFIX

FLEET: Final = frozenset(
    f"/v1/fleet/{name}"
    for name in (
        *("register-node", "unregister-node", "activate-node", "deactivate-node", "send-node-heartbeat"),
        *("pull-messages", "push-messages", "get-run", "get-fab"),
        *("push-object", "pull-object", "confirm-message-received"),
    )
)
"""All that devices may ask, each by POST: the Fleet API of Flower 1.42."""

HEALTH: Final = "/health"
"""Whether the server is up; by GET."""

_SECONDS: Final = 60.0
# Between two machines only, or made anew by whoever sends.
_NOT_RELAYED: Final = frozenset(
    {
        *(b"host", b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"expect"),
    }
)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def allowed(method: str, path: str) -> str | None:
    """Return the path of the SuperLink that a request goes to, or None where it goes nowhere."""
    wanted = next((one for one in FLEET if one == path), None) if method == "POST" else None
    return HEALTH if (method, path) == ("GET", HEALTH) else wanted


class Fence:
    """An ASGI application that relays devices' requests to a SuperLink.

    Args:
        superlink: https://host:port of the SuperLink.
        trusted: verifies the SuperLink's certificate.
        public: gives files away (`fedrec.server.operation.public_files`); None: there are none.
    """

    def __init__(self, superlink: str, trusted: ssl.SSLContext, public: Application | None = None) -> None:
        self._public = public
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = httpx.AsyncClient(
            base_url=superlink, verify=trusted, timeout=_SECONDS, limits=limits, trust_env=False
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            path = allowed(scope["method"], scope["path"])
            if self._public is not None and scope["path"].startswith(PREFIX):
                await self._public(scope, receive, send)
            elif path is None:
                await say_status(send, 404)
            else:
                await self._relay(scope, path, receive, send)

    async def _relay(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _NOT_RELAYED]
        request = self._client.build_request(scope["method"], path, headers=headers, content=_body(receive))
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError:
            await say_status(send, 502)
            return
        try:
            kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _NOT_RELAYED]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.shutdown":
                await self._client.aclose()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            raise httpx.ReadError("whoever asked went away")
        more = event.get("more_body", False)
        yield event.get("body", b"")


async def say_status(send: Send, status: int) -> None:
    """Answer with a status and nothing else."""
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
