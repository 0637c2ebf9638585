"""Backups are whole and of one moment, hold no key that was not asked for, and never put back what was spent."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
from pathlib import Path

import pytest
from operation_cases import OperatedServer

from fedrec.detached import ProcessMark
from fedrec.errors import ConfigError, StoreError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.server.operation.archive import LIST, read_archive
from fedrec.server.operation.backup import back_up, restore
from fedrec.server.operation.lineage import lineage
from fedrec.server.operation.server_directory import server_of
from fedrec.server.state import ServerState
from fedrec.whole_files import write_json

COST = QueryCost("popularity", 50.0)
BUDGET = Budget(8.0, 0.01, "user")


def _spend(server: OperatedServer, counter: int, number: int) -> None:
    """What a run does for a sum: charge, keep, and say so."""
    out = server.made.server.run(counter)
    with Ledger.open(out / "ledger.sqlite", BUDGET) as ledger:
        ledger.charge(COST, round=number)
    with ServerState(out / "server.sqlite", "a run") as state:
        state.save_attempts(b"%d" % number)
    with (out / "events.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"query": "popularity", "round": number, "devices": 2, "epsilon_spent": 1.5}) + "\n")


@pytest.fixture
def server(tmp_path: Path) -> OperatedServer:
    made = OperatedServer.make(tmp_path)
    made.enrolled("a", "b", "c")
    _spend(made, 1, 1)
    return made


def _contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_backup_restores_all_that_it_names_into_nothing(server: OperatedServer, tmp_path: Path) -> None:
    listed = back_up(server.made.server, tmp_path / "backup.tar", with_keys=True)
    assert (tmp_path / "backup.tar").stat().st_mode & 0o077 == 0
    place = server_of(tmp_path / "elsewhere")
    restored, missing = restore(place, tmp_path / "backup.tar")
    assert (restored, missing) == (listed, [])
    before, after = _contents(server.made.server.path), _contents(place.path)
    assert after.keys() == before.keys() == listed.files.keys()
    assert all(after[name] == before[name] for name in before if not name.endswith(".sqlite"))
    with Ledger.open(place.run(1) / "ledger.sqlite", BUDGET) as ledger:
        ledger.verify()
        assert ledger.charged("popularity") == 1
    with ServerState(place.run(1) / "server.sqlite", "a run") as state:
        assert state.load_attempts() == b"1"
    assert list(tmp_path.glob(".fedrec-*")) == []


def test_without_a_word_no_secret_key_is_in_it_and_those_there_are_kept(server: OperatedServer, tmp_path: Path) -> None:
    back_up(server.made.server, tmp_path / "backup.tar")
    data = (tmp_path / "backup.tar").read_bytes()
    for key in ("server.key", "release.key", "token", "superexec.secret"):
        assert (server.made.server.path / key).read_bytes().strip() not in data
    assert server.made.publisher.key.read_bytes().strip() not in data
    kept = server.made.server.release_key.read_bytes()
    _, missing = restore(server.made.server, tmp_path / "backup.tar")
    assert missing == []
    assert server.made.server.release_key.read_bytes() == kept
    assert (server.made.server.run(1) / "release.key").read_bytes() == kept
    _, missing = restore(server_of(tmp_path / "elsewhere"), tmp_path / "backup.tar")
    assert missing == ["server.key", "release.key", "token", "superexec.secret"]


def test_an_archive_older_than_what_was_spent_or_signed_since_is_refused(
    server: OperatedServer, tmp_path: Path
) -> None:
    back_up(server.made.server, tmp_path / "backup.tar")
    restore(server.made.server, tmp_path / "backup.tar")
    _spend(server, 1, 2)
    before = _contents(server.made.server.path)
    with pytest.raises(StoreError, match="older"):
        restore(server.made.server, tmp_path / "backup.tar")
    assert _contents(server.made.server.path) == before
    restore(server.made.server, tmp_path / "backup.tar", allow_older=True)
    assert (server.directory / "server.old" / "runs" / "000001" / "ledger.sqlite").is_file()
    server.enrolled()
    with pytest.raises(StoreError, match="older"):
        restore(server.made.server, tmp_path / "backup.tar")


def test_a_server_that_is_up_and_another_ones_are_left_alone(server: OperatedServer, tmp_path: Path) -> None:
    back_up(server.made.server, tmp_path / "backup.tar")
    with pytest.raises(ConfigError, match="already"):
        back_up(server.made.server, tmp_path / "backup.tar")
    other = OperatedServer.make(tmp_path, "other")
    with pytest.raises(ConfigError, match="another publisher"):
        restore(other.made.server, tmp_path / "backup.tar")
    write_json(server.made.server.state, {"process": ProcessMark.of(os.getpid()).tree()})
    with pytest.raises(ConfigError, match="is up"):
        restore(server.made.server, tmp_path / "backup.tar")
    back_up(server.made.server, tmp_path / "while-up.tar")


def test_a_run_that_writes_while_it_is_copied_is_copied_whole(server: OperatedServer, tmp_path: Path) -> None:
    holder = sqlite3.connect(server.made.server.run(1) / "server.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("INSERT OR REPLACE INTO state VALUES ('attempts', 'half')")
    back_up(server.made.server, tmp_path / "backup.tar")
    holder.execute("ROLLBACK")
    holder.close()
    restore(server_of(tmp_path / "elsewhere"), tmp_path / "backup.tar")
    with ServerState(server_of(tmp_path / "elsewhere").run(1) / "server.sqlite", "a run") as state:
        assert state.load_attempts() == b"1"


def _changed(archive: Path, out: Path, change: str) -> Path:
    """The archive with something done to it that somebody might try, or that a disk does."""
    with tarfile.open(archive) as read, tarfile.open(out, "w") as written:
        for member in read:
            data = read.extractfile(member)
            body = data.read() if data else b""
            if change == "damaged" and member.name == "nodes.json":
                body = body[:-1] + b"?"
            if change == "lacking" and member.name == "nodes.json":
                continue
            if change == "escaping" and member.name == LIST:
                body = body.replace(b'"nodes.json"', b'"../nodes.json"')
            member.size = len(body)
            written.addfile(member, io.BytesIO(body))
        if change == "more":
            extra = tarfile.TarInfo("../outside")
            written.addfile(extra, io.BytesIO(b""))
        if change == "link":
            extra = tarfile.TarInfo("nodes.json")
            extra.type, extra.linkname = tarfile.SYMTYPE, "/etc/passwd"
            written.addfile(extra)
    return out


@pytest.mark.parametrize("change", ["damaged", "lacking", "escaping", "more", "link", "cut", "none"])
def test_an_archive_that_was_changed_restores_nothing(server: OperatedServer, tmp_path: Path, change: str) -> None:
    back_up(server.made.server, tmp_path / "backup.tar")
    if change in ("cut", "none"):
        bad = tmp_path / "bad.tar"
        bad.write_bytes((tmp_path / "backup.tar").read_bytes()[:5000] if change == "cut" else b"")
    else:
        bad = _changed(tmp_path / "backup.tar", tmp_path / "bad.tar", change)
    before = _contents(server.made.server.path)
    with pytest.raises(StoreError):
        read_archive(bad, None)
    with pytest.raises(StoreError):
        restore(server.made.server, bad, allow_older=True)
    assert _contents(server.made.server.path) == before
    assert not (tmp_path / "outside").exists()


def test_lineage_says_what_a_device_was_part_of_and_the_next_run_is_without_it(server: OperatedServer) -> None:
    told = lineage(server.made.server, "b")
    assert [run["counter"] for run in told["runs"]] == [1]
    assert told["runs"][0]["epsilon_spent"] == 1.5
    assert told["left_with_run"] is None
    assert any("--withdraw" in sentence for sentence in told["cannot_be_recalled"])
    server.enrolled(withdrawn=("b",))
    _spend(server, 2, 1)
    told = lineage(server.made.server, told["identity"][:12])
    assert told["device"] == "b"
    assert [run["counter"] for run in told["runs"]] == [1]
    assert told["left_with_run"] == 2
    assert any("cannot be opened again" in sentence for sentence in told["cannot_be_recalled"])
    assert [run["counter"] for run in lineage(server.made.server, "a")["runs"]] == [1, 2]
    with pytest.raises(ConfigError, match="no run's roster"):
        lineage(server.made.server, "nobody")


def test_who_was_never_in_a_sum_is_told_so(tmp_path: Path) -> None:
    made = OperatedServer.make(tmp_path)
    made.enrolled("a", "b")
    assert lineage(made.made.server, "a")["cannot_be_recalled"][0].startswith("Nothing")
