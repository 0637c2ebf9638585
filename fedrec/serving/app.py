"""The HTTP application of `fedrec serve`: it ranks for a history in the request and keeps nothing of it.

A request is checked against `fedrec.serving.messages` before any work, a body beyond `MOST_BYTES` is not read, and
neither bodies nor answers are logged.  With a token, every path but ``/health`` wants it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from fedrec.api.release import OpenedRelease
from fedrec.client.recommendation import Recommendation
from fedrec.client.search import FoundItem
from fedrec.errors import FedrecError
from fedrec.local_http import bearer, body_refusal
from fedrec.serving.messages import ItemList, RankedItem, RankRequest, ReleaseFacts, SearchRequest

MOST_BYTES: Final = 1 << 20
HEALTH: Final = "/health"
Next = Callable[[Request], Awaitable[Response]]


def application(release: OpenedRelease, token: str | None = None) -> FastAPI:
    """An ASGI application that ranks with one release.

    Args:
        release: opened, its signature checked.
        token: what ``Authorization: Bearer ...`` must hold; None: nobody is asked for one.
    """
    # The pages that FastAPI would serve load scripts from elsewhere: the document itself is enough.
    app = FastAPI(title="fedrec", version=str(release.version), docs_url=None, redoc_url=None)
    release.recommend(top=1)  # what is made at the first use is made before the first request
    size, facts = len(release.items), _facts(release)

    @app.get(HEALTH)
    async def health() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok"}

    @app.get("/release")
    async def which() -> ReleaseFacts:
        """Say which release ranks, and what it promises."""
        return facts

    @app.post("/recommend")
    async def recommend(asked: RankRequest) -> ItemList:
        """The best items for a history, none that is in it."""
        known = [item for item in asked.history if item in release.items]
        found = release.recommend(
            known, notes=asked.notes, at=asked.at, top=min(asked.top, size), explain=asked.explain
        )
        return _listed(release, found)

    @app.post("/search")
    async def search(asked: SearchRequest) -> ItemList:
        """The items that fit words best."""
        known = [item for item in asked.history if item in release.items]
        found = release.search(asked.query, history=known, taste=asked.taste, top=min(asked.top, size))
        return _listed(release, found)

    _guard(app, token)
    return app


def _listed(release: OpenedRelease, found: Sequence[Recommendation | FoundItem]) -> ItemList:
    lines = (
        RankedItem(rank=one.rank, item=one.item, title=one.title, score=one.score, reason=one.reason) for one in found
    )
    return ItemList(release=release.id, items=tuple(lines))


def _guard(app: FastAPI, token: str | None) -> None:
    @app.middleware("http")
    async def guard(request: Request, following: Next) -> Response:
        if token is not None and request.url.path != HEALTH and not bearer(request.headers, token):
            return _refused(401, "unauthorised", "Send the header Authorization: Bearer TOKEN")
        if request.method == "POST" and (refusal := body_refusal(request.headers, MOST_BYTES)) is not None:
            return _refused(refusal.status, refusal.what, refusal.action)
        return await following(request)

    @app.exception_handler(FedrecError)
    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, FedrecError)
        return _refused(400, error.what, error.action or "")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> Response:
        # Where it is wrong, never what was in it: an answer may land in somebody's log.
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _refused(422, f"{where}: {first['msg']}", "See /openapi.json")


def _refused(status: int, what: str, action: str) -> JSONResponse:
    return JSONResponse({"error": {"what": what, "action": action}}, status_code=status)


def _facts(release: OpenedRelease) -> ReleaseFacts:
    return ReleaseFacts(
        name=release.name,
        id=release.id,
        version=release.version,
        signer=release.signer,
        trusted=release.trusted,
        items=len(release.items),
        privacy=dict(release.privacy),
    )
