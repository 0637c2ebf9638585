"""The operator's pages: the runs below a directory, one run as it goes on, and runs side by side. Read only.

A run is asked for by an id, which is looked up among the runs that are there: no word of a request becomes a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from fedrec.pages import run_view
from fedrec.pages.compare import compared
from fedrec.pages.gate import Gate, guard
from fedrec.pages.render import answer_errors, page, refused, serve_static, wants_part
from fedrec.pages.run_files import FoundRun, find_runs, read_run_files, release_of

NAME: Final = "operator"
MOST_COMPARED: Final = 6
_REPORT: Final = "report.html"
_MOST_BYTES: Final = 1 << 10
# A report brings scripts of its own, whose hashes it names. Its origin is nobody's, so it reads no page of these.
_REPORT_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def operator_pages(root: Path, gate: Gate) -> FastAPI:
    """An ASGI application that shows the runs below ``root`` to whoever ``gate`` lets in."""
    app = FastAPI(title="fedrec", docs_url=None, redoc_url=None, openapi_url=None)
    guard(app, gate, most_bytes=_MOST_BYTES, refused=refused)
    serve_static(app)
    answer_errors(app)

    @app.get("/")
    async def runs(request: Request) -> Response:
        """All runs, the last changed first."""
        shown = [run_view.summary_of(run, read_run_files(run.path)) for run in find_runs(root).values()]
        live = any(one["state"] == "running" for one in shown)
        values: dict[str, Any] = {"runs": shown, "live": live, "most": MOST_COMPARED}
        return page("part_runs.html.j2" if wants_part(request) else "runs.html.j2", **values)

    @app.get("/run/{id}")
    async def run(request: Request, id: str) -> Response:
        """One run."""
        found = _found(root, id)
        return page("part_run.html.j2" if wants_part(request) else "run.html.j2", **_shown(found))

    @app.get("/run/{id}/report")
    async def report(id: str) -> Response:
        """The report of a run, as its own page without access to these."""
        path = _found(root, id).path / _REPORT
        if not path.is_file() or path.is_symlink():
            raise HTTPException(404)
        text = path.read_text(encoding="utf-8", errors="replace")
        return HTMLResponse(text, headers={"Content-Security-Policy": _REPORT_POLICY})

    @app.get("/compare")
    async def compare(run: list[str] = Query(default_factory=list)) -> Response:  # noqa: B008 as FastAPI reads it
        """Runs side by side."""
        chosen = [_found(root, id) for id in list(dict.fromkeys(run))[:MOST_COMPARED]]
        return page("compare.html.j2", **_side_by_side(chosen))

    return app


def _found(root: Path, id: str) -> FoundRun:
    run = find_runs(root).get(id)
    if run is None:
        raise HTTPException(404)
    return run


def _shown(run: FoundRun) -> dict[str, Any]:
    files = read_run_files(run.path)
    return {
        "run": run,
        "summary": run_view.summary_of(run, files),
        "live": files.state == "running",
        "warnings": run_view.warnings_of(files),
        "tiles": run_view.tiles_of(files),
        "charts": run_view.charts_of(files),
        "rows": run_view.rows_of(files),
        "more": max(0, len(files.lines) - run_view.MOST_ROUNDS),
        "promises": run_view.promises_of(files),
        "found": run_view.found_of(files),
        "release": release_of(run.path),
        "report": (run.path / _REPORT).is_file(),
        "settings": run_view.settings_of(files),
        "facts": run_view.facts_of(files),
    }


def _side_by_side(chosen: Sequence[FoundRun]) -> dict[str, Any]:
    read = [(run, read_run_files(run.path)) for run in chosen]
    return {"runs": [run_view.summary_of(run, files) for run, files in read], "groups": compared([f for _, f in read])}
