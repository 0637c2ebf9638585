"""Who may look at pages, and what every answer of theirs carries.

Pages listen on loopback, where every user and every web page of the machine can reach them.  So a request must name
this listener as its host (else a name that resolves to 127.0.0.1 would make another site the same origin), and bring
what only the person at the terminal was shown: the cookie that a one-time link set, or a token in a header.  What
changes something needs the hidden field of a form that these pages made as well.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from fedrec.local_http import LOOPBACK, Refusal, bearer, body_refusal, same_secret

OPEN: Final = "/open"
STATIC: Final = "/static/"
FORM_FIELD: Final = "form_token"
_SAME_ORIGIN: Final = ("same-origin", "none")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # no-referrer would have a browser send "Origin: null" with a form of our own.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Answer = Callable[[Refusal], Response]


class Gate:
    """The secrets of one listener, drawn when it starts and kept in memory only.

    Args:
        name: of the pages, part of the cookie's name: browsers send a cookie to all ports of a host.
        port: where they listen.
        token: what ``Authorization: Bearer ...`` may hold in place of the cookie; None: the header opens nothing.
    """

    def __init__(self, name: str, port: int, token: str | None = None) -> None:
        self.cookie = f"fedrec-{name}-{port}"
        self.form_token = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._key: str | None = secrets.token_urlsafe(32)
        self._token = token
        self._port = port
        self._hosts = {f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in LOOPBACK}

    @property
    def link(self) -> str:
        """The link that opens the pages in one browser, once; without its key after that."""
        start = f"http://127.0.0.1:{self._port}"
        return f"{start}/" if self._key is None else f"{start}{OPEN}?key={self._key}"

    def refusal(self, request: Request) -> Refusal | None:
        """Why a request is not answered; None where it is, but for the field of a form, see `form_refusal`."""
        if request.headers.get("host", "") not in self._hosts:
            return Refusal(421, "this is not the host of these pages", "Use the link that was printed")
        if request.method not in ("GET", "HEAD", "POST"):
            return Refusal(405, "these pages know GET and POST", "Use the link that was printed")
        path = request.url.path
        if path != OPEN and not path.startswith(STATIC) and not self._is_known(request):
            return Refusal(
                401, "these pages need the link that was printed", "Open the link; it works once, for one browser"
            )
        return self._foreign(request) if request.method == "POST" else None

    def opened(self, key: str) -> Response | None:
        """Set the cookie if ``key`` is that of the one-time link, which then opens nothing more; None if it is not."""
        if self._key is None or not same_secret(key, self._key):
            return None
        self._key = None
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(self.cookie, self._session, httponly=True, samesite="strict", path="/")
        return answer

    def form_refusal(self, form: FormData) -> Refusal | None:
        """Why what a form says is not done: it is not one that these pages made."""
        given = form.get(FORM_FIELD)
        if isinstance(given, str) and same_secret(given, self.form_token):
            return None
        return Refusal(403, "this form is not of these pages", "Load the page again")

    def _is_known(self, request: Request) -> bool:
        if self._token is not None and bearer(request.headers, self._token):
            return True
        return same_secret(request.cookies.get(self.cookie, ""), self._session)

    def _foreign(self, request: Request) -> Refusal | None:
        origin = request.headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return Refusal(403, "another site sent this", "Use the pages themselves")
        if request.headers.get("sec-fetch-site", "none") not in _SAME_ORIGIN:
            return Refusal(403, "another site sent this", "Use the pages themselves")
        return None


def guard(app: FastAPI, gate: Gate, *, most_bytes: int, refused: Answer) -> None:
    """Hold every request to a gate, and put the headers on every answer.

    ``most_bytes``: of a body.  ``refused``: makes the page that says why.
    """

    @app.middleware("http")
    async def hold(request: Request, following: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = gate.refusal(request)
        if refusal is None and request.method == "POST":
            refusal = body_refusal(request.headers, most_bytes)
        answer = refused(refusal) if refusal is not None else await following(request)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    @app.get(OPEN)
    async def open_pages(key: str = "") -> Response:
        """Let the browser with the one-time link in."""
        answer = gate.opened(key)
        return answer or refused(
            Refusal(401, "this link opens nothing (any more)", "Start the pages again for a new one")
        )
