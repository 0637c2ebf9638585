"""A real Chromium for tests, where there is one; and pages served to it on loopback."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import uvicorn

from fedrec.pages.process import PageListener

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-dev-shm-usage"),
)
CHECK: Final = Path(__file__).with_name("accessibility.js").read_text(encoding="utf-8")
SIZES: Final = ((1280, 900), (390, 844))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. The test is skipped where Chromium or playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(*listeners: PageListener) -> Iterator[None]:
    """Serve pages from a thread of this process."""
    servers = [uvicorn.Server(uvicorn.Config(one.app, log_level="error", ws="none")) for one in listeners]

    async def answer() -> None:
        await asyncio.gather(
            *(server.serve(sockets=[one.socket]) for server, one in zip(servers, listeners, strict=True))
        )

    thread = threading.Thread(target=asyncio.run, args=(answer(),), daemon=True)
    thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


class Looked:
    """A page that keeps what its console says: nothing may be said there."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("requestfailed", self._failed)

    def _failed(self, request: Request) -> None:
        if "ERR_ABORTED" not in (request.failure or ""):  # what a click away from the page ended is no problem
            self.said.append(f"failed: {request.url}")

    def problems(self) -> list[str]:
        """What the accessibility check finds on the page as it is now."""
        found: list[str] = self.page.evaluate(CHECK)
        return found
