"""The runs below a directory, as simulations and servers leave them; read only, also while they go on."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from fedrec.errors import FedrecError
from fedrec.release.bundle import read_release
from fedrec.release.keys import fingerprint
from fedrec.run_values import table
from fedrec.sqlite_errors import SQLITE_ERRORS

RECORDS: Final = ("run.json", "server.json")
_EVENTS, _LEDGER, _MODEL = "events.jsonl", "ledger.sqlite", "model"
_DEEPEST: Final = 4
_MOST_RUNS: Final = 500
_MOST_FOLDERS: Final = 20_000
_MOST_BYTES: Final = 64 << 20
_LARGEST_RELEASE: Final = 64 << 20
_QUIET_SECONDS: Final = 600

State = Literal["running", "ended", "ended early", "silent"]


@dataclass(frozen=True)
class FoundRun:
    """A run's directory. ``id``: names it in addresses, and follows from its place alone; ``name``: the place."""

    id: str
    name: str
    path: Path


@dataclass(frozen=True)
class RunFiles:
    """What the files of a run say now.

    Args:
        record: of ``run.json`` or ``server.json``; empty before the run has ended.
        lines: of ``events.jsonl``; ``unreadable``: how many more there are that cannot be read.
        state: ``silent``: it has not ended, and nothing was written for ten minutes.
        changed: when something was last written, seconds since 1970.
        budget: epsilon, delta and unit of the ledger; empty where there is none.
    """

    record: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]
    unreadable: int
    state: State
    changed: float
    budget: Mapping[str, Any]


def find_runs(root: Path) -> dict[str, FoundRun]:
    """The runs in a directory and below it, by id, the last changed first; symbolic links are not followed."""
    found = []
    for place in _folders(root):
        newest = max((_changed(place / name) for name in (*RECORDS, _EVENTS)), default=0.0)
        if newest:
            name = str(place.relative_to(root)) if place != root else root.resolve().name
            id = hashlib.blake2b(str(place.relative_to(root)).encode(errors="replace"), digest_size=8).hexdigest()
            found.append((newest, FoundRun(id, name, place)))
    found.sort(key=lambda pair: (-pair[0], pair[1].name))
    return {run.id: run for _, run in found[:_MOST_RUNS]}


def read_run_files(place: Path) -> RunFiles:
    """Read a run. Whatever is missing, torn or not of this format is left out, and never an error."""
    record, ended = _record(place)
    lines, unreadable = _lines(place / _EVENTS)
    written = _changed(place / _EVENTS)
    changed = max(written, ended)
    return RunFiles(
        record, lines, unreadable, _state(record, ended, written, len(lines)), changed, _budget(place / _LEDGER)
    )


def release_of(place: Path) -> Mapping[str, Any] | None:
    """What a run's release says of itself, its signature checked; None where there is none.

    ``{"name", "version", "id", "signer", "items", "bytes"}``, or ``{"problem"}`` where it cannot be used.
    """
    signature = place / _MODEL / "manifest.sig"
    changed = _changed(signature)
    return _release(place / _MODEL, changed) if changed else None


@lru_cache(maxsize=32)
def _release(model: Path, changed: float) -> Mapping[str, Any]:
    whole = sum(path.stat().st_size for path in model.iterdir() if path.is_file())
    if whole > _LARGEST_RELEASE:
        return {"problem": "it is too large to be checked here: fedrec release verify does"}
    try:
        release = read_release(model)
    except FedrecError as error:
        return {"problem": error.what}
    return {
        "name": release.name,
        "version": release.version,
        "id": release.id,
        "signer": fingerprint(release.signer),
        "items": len(release.contents.items.ids),
        "bytes": whole,
    }


def _folders(root: Path) -> Iterator[Path]:
    """The directory and those below it, but for hidden ones and those that no run is in."""
    waiting, seen = [(root, 0)], 0
    while waiting and seen < _MOST_FOLDERS:
        place, depth = waiting.pop()
        seen += 1
        yield place
        if depth == _DEEPEST:
            continue
        try:
            with os.scandir(place) as entries:
                below = [
                    Path(entry.path)
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and entry.name[0] != "." and entry.name not in _NO_RUNS
                ]
        except OSError:
            continue
        waiting += [(path, depth + 1) for path in below]


_NO_RUNS: Final = frozenset({_MODEL, "images", "photos", "sounds", "videos", "stores", "node_modules", "__pycache__"})


def _changed(path: Path) -> float:
    """When a file was last written; 0 where there is none, or what is there is a link or no file."""
    try:
        return path.stat().st_mtime if path.is_file() and not path.is_symlink() else 0.0
    except OSError:
        return 0.0


def _text(path: Path) -> str:
    """The text of a file, of a very long one the beginning; empty where it cannot be read."""
    if not _changed(path):
        return ""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _record(place: Path) -> tuple[Mapping[str, Any], float]:
    for name in RECORDS:
        found = _parsed(_text(place / name))
        if found is not None:
            return found, _changed(place / name)
    return {}, 0.0


def _lines(path: Path) -> tuple[tuple[Mapping[str, Any], ...], int]:
    text = _text(path)
    # What follows the last line's end is being written.
    whole = text[: text.rfind("\n") + 1].splitlines()
    parsed = [_parsed(line) for line in whole]
    lines = tuple(one for one in parsed if one is not None)
    return lines, len(parsed) - len(lines)


def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _state(record: Mapping[str, Any], ended: float, written: float, lines: int) -> State:
    # A run that goes on in the directory of one that ended begins its lines anew, and writes them after the record.
    if record and (ended + 1 >= written or lines >= _charged(record)):
        return "ended early" if record.get("stopped") else "ended"
    return "running" if time.time() - written < _QUIET_SECONDS else "silent"


def _charged(record: Mapping[str, Any]) -> int:
    """How many sums a record says that there were, one a row of its ledger; at least 1."""
    rows = table(table(record.get("privacy")).get("ledger")).get("rows")
    return rows if isinstance(rows, int) and rows > 0 else 1


def _budget(path: Path) -> Mapping[str, Any]:
    """The budget that a ledger was begun with; its file is opened for reading only, so that a run is not held up."""
    if not _changed(path):
        return {}
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0.2)
        try:
            row = connection.execute("SELECT body FROM chain WHERE number = 0").fetchone()
        finally:
            connection.close()
    except SQLITE_ERRORS:
        return {}
    found = _parsed(row[0]) if row and isinstance(row[0], str) else None
    budget = (found or {}).get("budget")
    return budget if isinstance(budget, dict) else {}
