"""The device's pages: what its owner did, what it recommends and why, what left it, and forgetting.

Everything here is private. Nothing is fetched from elsewhere, nothing is logged, and pages are not kept by the browser.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from fedrec.errors import ConfigError, StoreError
from fedrec.pages.device_desk import DeviceDesk
from fedrec.pages.device_view import cards_of, gave_of, picks_of, searched_of
from fedrec.pages.gate import Gate, guard
from fedrec.pages.render import answer_errors, page, refused, serve_static, wants_part

NAME: Final = "device"
_MOST_BYTES: Final = 16 << 20
_LONGEST: Final = 1_000_000
_JPEG: Final = {"Content-Type": "image/jpeg"}


def device_pages(desk: DeviceDesk, gate: Gate) -> FastAPI:
    """An ASGI application that shows a device to whoever ``gate`` lets in."""
    page("part_device.html.j2", **_first(desk, gate, None))  # templates are read before the first request
    app = FastAPI(title="fedrec", docs_url=None, redoc_url=None, openapi_url=None)
    guard(app, gate, most_bytes=_MOST_BYTES, refused=refused)
    serve_static(app)
    answer_errors(app)
    _looking(app, desk, gate)
    _adding(app, desk, gate)
    _leaving(app, desk, gate)
    return app


def _looking(app: FastAPI, desk: DeviceDesk, gate: Gate) -> None:
    @app.get("/")
    async def first(user: str | None = None) -> Response:
        """What is recommended and why, and the last of what was done."""
        return page("device.html.j2", **_first(desk, gate, user))

    @app.get("/did")
    async def did(user: str | None = None, number: int = 1) -> Response:
        """All that a user did, page after page."""
        users = desk.users()
        if not users:
            return RedirectResponse("/", status_code=303)
        name = users[0] if user is None else user
        values: dict[str, Any] = {"history": desk.history(name, number), "pictured": desk.pictured}
        return page("did.html.j2", **_common(desk, gate, users, name), **values)

    @app.get("/picture/{item}")
    async def picture(item: str) -> Response:
        """An item's picture: found by its id, made anew, and always a JPEG."""
        data = desk.picture(item)
        if data is None:
            raise HTTPException(404)
        return Response(data, headers={**_JPEG, "Cache-Control": "private, max-age=3600"})

    @app.get("/photo")
    async def photo(user: str, name: str) -> Response:
        """A photo of a user's own: found by its name in the store, made anew, and always a JPEG."""
        data = desk.photo(user, name)
        if data is None:
            raise HTTPException(404)
        return Response(data, headers=_JPEG)

    @app.post("/search")
    async def search(request: Request) -> Response:
        """Items by words or a picture. Posted, so that no address in the browser's history holds the query."""
        async with request.form(max_files=1, max_fields=8, max_part_size=_LONGEST) as form:
            if (refusal := gate.form_refusal(form)) is not None:
                return refused(refusal)
            words, file = _text(form, "query").strip(), form.get("picture")
            data = await file.read() if isinstance(file, UploadFile) else b""
            user, found = desk.search(_user(form), words or None, data or None, mixed=bool(_text(form, "mixed")))
        shown = {"found": searched_of(desk, found), "words": words, "by_picture": bool(data)}
        values = {**_common(desk, gate, desk.users(), user), **shown}
        return page("part_found.html.j2" if wants_part(request) else "found.html.j2", **values)


def _adding(app: FastAPI, desk: DeviceDesk, gate: Gate) -> None:
    def changed(request: Request, user: str | None, said: str) -> Response:
        """The new list for the pages' script; for a browser without it, the first page again."""
        if wants_part(request):
            return page("part_device.html.j2", **{**_first(desk, gate, user), "said": said})
        return RedirectResponse("/" if user is None else f"/?{urlencode({'user': user})}", status_code=303)

    async def added(request: Request, add: Callable[[FormData], Awaitable[str]]) -> Response:
        async with request.form(max_files=1, max_fields=8, max_part_size=_LONGEST) as form:
            if (refusal := gate.form_refusal(form)) is not None:
                return refused(refusal)
            said = await add(form)
            user = _user(form)
        return changed(request, user if user in desk.users() else None, said)

    @app.post("/events")
    async def event(request: Request) -> Response:
        """Add an event."""

        async def add(form: FormData) -> str:
            return f"Added: {desk.add_event(_user(form), _text(form, 'item'))}"

        return await added(request, add)

    @app.post("/notes")
    async def note(request: Request) -> Response:
        """Add a note."""

        async def add(form: FormData) -> str:
            desk.add_note(_user(form), _text(form, "text"))
            return "Your note counts now"

        return await added(request, add)

    @app.post("/photos")
    async def photo(request: Request) -> Response:
        """Add a photo."""

        async def add(form: FormData) -> str:
            file = form.get("photo")
            data = await file.read() if isinstance(file, UploadFile) else b""
            desk.add_photo(_user(form), data)
            return "Your photo counts now"

        return await added(request, add)


def _leaving(app: FastAPI, desk: DeviceDesk, gate: Gate) -> None:
    @app.get("/gave")
    async def gave() -> Response:
        """What has left this device, and how much it may still give."""
        return page("gave.html.j2", **_common(desk, gate, desk.users(), None), gave=gave_of(desk.given()))

    @app.post("/budget")
    async def budget(request: Request) -> Response:
        """Limit what the device gives."""
        async with request.form(max_files=0, max_fields=8) as form:
            if (refusal := gate.form_refusal(form)) is not None:
                return refused(refusal)
            desk.set_budget(_epsilon(_text(form, "epsilon")))
        return RedirectResponse("/gave", status_code=303)

    @app.get("/forget")
    async def ask(user: str) -> Response:
        """Ask whether a user is to be forgotten."""
        if user not in (users := desk.users()):
            raise StoreError("this device has no such user")
        return page("forget.html.j2", **_common(desk, gate, users, user), given=desk.given(), unsure=False)

    @app.post("/forget")
    async def forget(request: Request) -> Response:
        """Forget a user who said so twice."""
        async with request.form(max_files=0, max_fields=8) as form:
            if (refusal := gate.form_refusal(form)) is not None:
                return refused(refusal)
            user, sure = _text(form, "user"), _text(form, "sure") == "yes"
        if user not in (users := desk.users()):
            raise StoreError("this device has no such user")
        if not sure:
            return page("forget.html.j2", **_common(desk, gate, users, user), given=desk.given(), unsure=True)
        before = desk.forget(user)
        return page("forgotten.html.j2", **_common(desk, gate, desk.users(), None), given=before)


def _first(desk: DeviceDesk, gate: Gate, user: str | None) -> dict[str, Any]:
    view = desk.view(user)
    return {
        **_common(desk, gate, list(view.users), view.user),
        "view": view,
        "picks": picks_of(desk, view),
        "last": cards_of(desk, view.last),
        "said": "",
    }


def _common(desk: DeviceDesk, gate: Gate, users: list[str], user: str | None) -> dict[str, Any]:
    """What every page of the device has. ``user``: None = the first one."""
    release = desk.release
    return {
        "form_token": gate.form_token,
        "users": users,
        "user": user if user is not None or not users else users[0],
        "release": f"{release.name}, version {release.version}",
    }


def _text(form: FormData, name: str) -> str:
    found = form.get(name)
    return found if isinstance(found, str) else ""


def _user(form: FormData) -> str | None:
    return _text(form, "user") or None


def _epsilon(text: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError("a limit is a number of 0 or above", action="Write an epsilon, or 0 for no limit")
    return value
