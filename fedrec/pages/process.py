"""Serve pages on loopback until the process is told to end, and open them in a browser."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fedrec.errors import ConfigError
from fedrec.extras import need
from fedrec.local_http import checked_token

if TYPE_CHECKING:
    from fastapi import FastAPI

    from fedrec.pages.gate import Gate

TOKEN: Final = "FEDREC_PAGES_TOKEN"
EXTRA: Final = "pages"
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class PageListener:
    """An application at its port. ``link``: opens it in one browser, once."""

    name: str
    app: FastAPI
    gate: Gate
    socket: socket.socket

    @property
    def link(self) -> str:
        """The one-time link."""
        return self.gate.link


def listen(name: str, port: int, make: Callable[[Gate], FastAPI]) -> PageListener:
    """Take a port of loopback and make an application for it.

    Args:
        name: of the pages.
        port: 0 = any that is free.
        make: the application that a gate guards.

    Raises:
        ConfigError: the port is taken, or ``FEDREC_PAGES_TOKEN`` is too short.
        MissingExtraError: the extra ``pages`` is not installed.
    """
    for module in ("jinja2", "python_multipart"):
        need(module, EXTRA)
    from fedrec.pages.gate import Gate

    token = checked_token(TOKEN, os.environ.get(TOKEN))
    try:
        taken = socket.create_server((_HOST, port))
    except OSError as error:
        raise ConfigError(
            f"the port cannot be had: {error.strerror}", value=port, action="Give another one with --port, or 0 for any"
        ) from None
    gate = Gate(name, taken.getsockname()[1], token)
    try:
        return PageListener(name, make(gate), gate, taken)
    except BaseException:
        taken.close()
        raise


def operator_listener(runs: Path, port: int) -> PageListener:
    """The operator's pages of the runs below a directory. Raises as `listen`."""

    def make(gate: Gate) -> FastAPI:
        from fedrec.pages.operator import operator_pages

        return operator_pages(runs, gate)

    return listen("operator", port, make)


def device_listener(
    store: Path,
    release: Path,
    items: Path | None,
    port: int,
    *,
    trusted_key: Path | None = None,
    allow_older: bool = False,
) -> PageListener:
    """The pages of a device. Raises as `listen` and `fedrec.pages.device_desk.DeviceDesk`."""

    def make(gate: Gate) -> FastAPI:
        from fedrec.pages.device import device_pages
        from fedrec.pages.device_desk import DeviceDesk

        return device_pages(DeviceDesk(store, release, items, trusted_key=trusted_key, allow_older=allow_older), gate)

    return listen("device", port, make)


def serve(listeners: Sequence[PageListener], *, browser: bool) -> None:
    """Answer until the process is told to end. ``browser``: open each in one, where there is a screen."""
    import uvicorn

    async def all_of_them() -> None:
        servers = [
            uvicorn.Server(
                uvicorn.Config(
                    one.app,
                    access_log=False,
                    ws="none",
                    log_level="warning",
                    server_header=False,
                    proxy_headers=False,
                    limit_concurrency=100,
                    timeout_keep_alive=5,
                    timeout_graceful_shutdown=2,
                )
            )
            for one in listeners
        ]
        await asyncio.gather(
            *(server.serve(sockets=[one.socket]) for server, one in zip(servers, listeners, strict=True))
        )

    if browser and _has_screen():
        for one in listeners:
            webbrowser.open(one.link)  # it waits in the socket until it is answered
    try:
        asyncio.run(all_of_them())
    except KeyboardInterrupt:
        pass
    finally:
        for one in listeners:
            one.socket.close()


def _has_screen() -> bool:
    """Whether a browser with windows can be opened: one for terminals would take the terminal over."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
