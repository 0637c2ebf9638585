"""`fedrec server backup` and `restore`: what a server must not lose, and never goes back to by accident.

A ledger that is put back older than it was forgets what was spent, and a state that is put back draws noise anew for
sums that were opened: so an archive that is older than what it would replace is refused, unless somebody says so.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fedrec.enrolment.documents import read_document
from fedrec.errors import ConfigError, StoreError
from fedrec.server.operation.archive import ArchivedRun, ArchiveList, list_of, read_archive, write_archive
from fedrec.server.operation.newest import newest_manifest
from fedrec.server.operation.running import is_up, read_running
from fedrec.server.operation.server_directory import ServerDirectory, ServerFacts
from fedrec.server.run_files import EVENTS, KEY, LEDGER, STATE
from fedrec.server.run_marks import PROCESS
from fedrec.sqlite_errors import SQLITE_ERRORS
from fedrec.whole_files import cannot_write, replace_directory

_SQLITE: Final = (".sqlite", ".db")
_TRIES: Final = 10
# What others must not have is in an archive only where somebody asks for it.
_KEYS: Final = ("server.key", "release.key", "token", "superexec.secret")
_LEFT_OUT: Final = ("logs", "flower", "running.json")


def back_up(server: ServerDirectory, out: Path, *, with_keys: bool = False) -> ArchiveList:
    """Write one archive, while the server is up or not.

    Args:
        server: whose.
        out: the archive; must not be there.
        with_keys: also the server's secret keys. Without them, restore where they are.

    Raises:
        ConfigError: there is no server, or a file of that name. StoreError: the disk refuses, or the run went on too
            fast for a consistent copy.
    """
    facts = server.facts()
    if out.exists():
        raise ConfigError("there is a file of this name already", value=out.name, action="Name another")
    with tempfile.TemporaryDirectory(prefix=".fedrec-backup-", dir=out.absolute().parent) as kept:
        files = _copied(server, Path(kept), with_keys=with_keys)
        manifest = newest_manifest(server)
        listed = list_of(
            files,
            name=facts.name,
            publisher=facts.publisher,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            counter=0 if manifest is None else manifest.counter,
            with_keys=with_keys,
            runs={run.name: _progress(Path(kept) / "runs" / run.name / LEDGER) for run in _runs(server)},
        )
        write_archive(out, files, listed)
    return listed


def restore(server: ServerDirectory, archive: Path, *, allow_older: bool = False) -> tuple[ArchiveList, list[str]]:
    """Put an archive in the place of a server's directory; what was there is kept beside it as ``server.old``.

    Args:
        server: where it goes; there may be none.
        archive: what `back_up` wrote; all of it is checked first.
        allow_older: although more was spent, or signed, since.

    Returns:
        What was in it, and which secret keys are missing now.

    Raises:
        ConfigError: the server is up, or it is another one's archive. StoreError: the archive is damaged, or older than
            what it would replace; then nothing was changed.
    """
    there = server.facts_file.is_file()
    if there and is_up(read_running(server)):
        raise ConfigError("the server is up", value=str(server.path.parent), action="First fedrec server down")
    server.path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".fedrec-restore-", dir=server.path.parent))
    try:
        listed = read_archive(archive, fresh)
        read_document(ServerDirectory(fresh).facts_file, ServerFacts, "server's facts")
        if there:
            _refuse_another(server, listed)
            if not allow_older:
                _refuse_older(server, listed)
            _keep_keys(server, fresh)
        for directory in ("logs", "flower", "runs", "public"):
            (fresh / directory).mkdir(mode=0o700, exist_ok=True)
        missing = [name for name in _KEYS if not (fresh / name).exists()]
        aside = server.path.with_name("server.old")
        if there:
            shutil.rmtree(aside, ignore_errors=True)
            server.path.rename(aside)
        replace_directory(fresh, server.path)
    except OSError as error:
        raise cannot_write(server.path, error) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return listed, missing


def _copied(server: ServerDirectory, place: Path, *, with_keys: bool) -> dict[str, Path]:
    """Path in the archive -> file to read: databases as copies of one moment, each run's together."""
    files: dict[str, Path] = {}
    of_runs = (STATE, LEDGER, EVENTS)
    for path in sorted(server.path.rglob("*")):
        name = path.relative_to(server.path).as_posix()
        parts = name.split("/")
        if (
            not path.is_file()
            or path.is_symlink()
            or parts[0] in _LEFT_OUT
            or any(one.startswith(".") for one in parts)
        ):
            continue
        if path.name in of_runs and parts[0] == "runs":
            continue
        if path.name.endswith(("-journal", "-wal", "-shm", PROCESS)):
            continue
        if not with_keys and path.name in (*_KEYS, KEY):
            continue
        if path.suffix in _SQLITE:
            files[name] = _copy_database(path, place / name)
        else:
            files[name] = path
    for run in _runs(server):
        files |= _copied_run(run, place / "runs" / run.name)
    return files


def _copied_run(run: Path, place: Path) -> dict[str, Path]:
    """State, ledger and lines of one run. They are written one after another, so they are copied between two sums."""
    for _ in range(_TRIES):
        before = _progress(run / LEDGER)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in (STATE, LEDGER):
            if (run / name).is_file():
                _copy_database(run / name, place / name)
        if (run / EVENTS).is_file():
            shutil.copy(run / EVENTS, place / EVENTS)
        if _progress(run / LEDGER) == before == _progress(place / LEDGER):
            return {f"runs/{run.name}/{path.name}": path for path in place.iterdir()}
    action = "Call it again, or after fedrec server down"
    raise StoreError("the run went on while it was copied, again and again", value=run.name, action=action)


def _copy_database(source: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30.0)) as read,
            closing(sqlite3.connect(place)) as written,
        ):
            read.backup(written)
    except SQLITE_ERRORS as error:
        raise StoreError(f"a database cannot be copied: {error}", value=source.name, action="Call it again") from None
    return place


def _progress(ledger: Path) -> ArchivedRun:
    """How many rows a ledger has, and the last one's hash."""
    if not ledger.is_file():
        return ArchivedRun(rows=0, head="")
    with _read_only(ledger) as opened:
        found = opened.execute("SELECT number, hash FROM chain ORDER BY number DESC LIMIT 1").fetchone()
    return ArchivedRun(rows=0, head="") if found is None else ArchivedRun(rows=found[0], head=found[1])


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30.0)) as opened:
            yield opened
    except SQLITE_ERRORS as error:
        raise StoreError(
            f"a ledger cannot be read: {error}", value=path.name, action="See docs/deployment.md"
        ) from None


def _runs(server: ServerDirectory) -> list[Path]:
    return sorted(path for path in server.runs.iterdir() if path.is_dir()) if server.runs.is_dir() else []


def _refuse_another(server: ServerDirectory, listed: ArchiveList) -> None:
    if server.facts().publisher != listed.publisher:
        action = "Restore it into a directory of its own"
        raise ConfigError("the archive is of another publisher's server", value=listed.name, action=action)


def _refuse_older(server: ServerDirectory, listed: ArchiveList) -> None:
    manifest = newest_manifest(server)
    newer: list[Any] = []
    if manifest is not None and manifest.counter > listed.counter:
        newer.append(f"manifest {manifest.counter}, in the archive {listed.counter}")
    for run in _runs(server):
        now, then = _progress(run / LEDGER), listed.runs.get(run.name, ArchivedRun(rows=0, head=""))
        if now.rows > then.rows or (now.rows == then.rows and now.head != then.head):
            newer.append(f"run {run.name} with {now.rows} rows in its ledger, in the archive {then.rows}")
    if newer:
        raise StoreError(
            "the archive is older than what it would replace, and what was spent since would be forgotten",
            value=newer,
            action="Take a newer backup; or give --allow-older, and sign a new run instead of going on with one",
        )


def _keep_keys(server: ServerDirectory, fresh: Path) -> None:
    """Take secrets that the archive does not hold from where they are."""
    for path in (server.path / name for name in _KEYS):
        if path.is_file() and not (fresh / path.name).exists():
            shutil.copy2(path, fresh / path.name)
    for run in (path for path in (fresh / "runs").glob("*") if path.is_dir()):
        if not (run / KEY).exists() and (fresh / KEY).exists():
            shutil.copy2(fresh / KEY, run / KEY)
