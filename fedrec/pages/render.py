"""The pages' templates, and their styles and script, which are served under names that change with them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader
from starlette.exceptions import HTTPException

from fedrec.console import figure, size
from fedrec.errors import FedrecError
from fedrec.html.templates import environment, style_sheet
from fedrec.local_http import Refusal
from fedrec.pages.gate import STATIC

PART: Final = "x-part"
"""The header of a request by the pages' script: it wants the part of a page that changes, not a whole one."""


def page(name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of the template ``name``."""
    return HTMLResponse(_templates().get_template(name).render(**values), status_code=status)


def refused(refusal: Refusal) -> Response:
    """The page that says why a request is not answered."""
    return page("refused.html.j2", status=refusal.status, what=refusal.what, action=refusal.action)


def wants_part(request: Request) -> bool:
    """Whether the pages' script asked."""
    return PART in request.headers


def day(seconds: int | float | None) -> str:
    """A time for people, to the minute, in this machine's zone; empty where there is none."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def serve_static(app: FastAPI) -> None:
    """Serve the style sheet, the script and the icon: fixed texts, found by name in a table."""

    @app.get(STATIC + "{name}")
    async def static(name: str) -> Response:
        """One of these files."""
        found = _static().get(name)
        if found is None:
            raise HTTPException(404)
        text, kind, _ = found
        return Response(text, media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"})


def answer_errors(app: FastAPI) -> None:
    """Every error becomes a page of words: no traceback, and nothing of what was sent."""

    @app.exception_handler(FedrecError)
    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, FedrecError)
        return refused(Refusal(400, error.what, error.action))

    @app.exception_handler(HTTPException)
    async def not_there(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        what = "there is no such page" if error.status_code == 404 else str(error.detail)
        return refused(Refusal(error.status_code, what, "Go back to the first page"))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> Response:
        return refused(Refusal(422, "this is not what the page asks for", "Go back to the first page"))


@cache
def _static() -> Mapping[str, tuple[str, str, str]]:
    """Name to text, type, and what names this version."""
    folder = files("fedrec.pages")
    texts = {
        "pages.css": (style_sheet() + folder.joinpath("pages.css").read_text(encoding="utf-8"), "text/css"),
        "icon.svg": (folder.joinpath("icon.svg").read_text(encoding="utf-8"), "image/svg+xml"),
        "pages.js": (folder.joinpath("pages.js").read_text(encoding="utf-8"), "text/javascript"),
    }
    return {name: (text, kind, hashlib.sha256(text.encode()).hexdigest()[:12]) for name, (text, kind) in texts.items()}


@cache
def _templates() -> Environment:
    made = environment(PackageLoader("fedrec.pages", "templates"))
    made.globals.update(
        figure=figure,
        size=size,
        day=day,
        static=lambda name: f"{STATIC}{name}?v={_static()[name][2]}",
    )
    return made
