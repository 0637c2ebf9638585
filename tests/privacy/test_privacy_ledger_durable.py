"""A ledger and a machine that fails: rows are on the disk before anything is released, at whatever instant it ends."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.privacy.ledger_entry import LedgerEntry

BUDGET = Budget(3.0, 1e-5, "user")


ROUND = QueryCost("training", 20.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_rows_are_synced_to_the_disk(path: Path) -> None:
    """A kill cannot show what a power cut would lose, so the settings that sync file and folder are checked."""
    with Ledger.open(path, BUDGET) as ledger:
        database = ledger._chain._db
        assert database.execute("PRAGMA synchronous").fetchone() == (3,)
        assert database.execute("PRAGMA journal_mode").fetchone() == (b"delete",)


def test_a_failing_disk_stops_the_release(path: Path) -> None:
    with Ledger.open(path, BUDGET) as ledger:
        ledger.charge(ROUND, round=0)
        ledger.close()
        with pytest.raises(PrivacyError):
            ledger.charge(ROUND, round=1)


def _charge_for_ever(folder: Path, out: int) -> None:
    number = 0
    while True:
        with Ledger.open(folder / f"{number // 6}.sqlite", BUDGET) as ledger:
            for _ in range(6):
                ledger.charge(ROUND, round=number)
                os.write(out, f"{number}\n".encode())  # the release leaves: only after charge() returned
                number += 1


def _released_until_killed(folder: Path, least: int, seconds: float) -> set[int]:
    """What a process released before it was killed, ``seconds`` after its release number ``least``, from 1."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _charge_for_ever(folder, write)
        finally:
            os._exit(1)  # the child must never go on as a test run
    os.close(write)
    with os.fdopen(read, "rb") as lines:
        first = [lines.readline() for _ in range(least)]
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        rest = lines.read().split()
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return {int(line) for line in [*first, *rest]}


def test_killing_at_any_instant_never_leaves_a_release_without_its_row(tmp_path: Path) -> None:
    generator = random.Random(11)
    released_in_all, kills = 0, 20
    for kill in range(kills):
        folder = tmp_path / str(kill)
        folder.mkdir()
        released = _released_until_killed(folder, generator.randint(1, 8), generator.uniform(0.0, 0.01))
        entries: list[LedgerEntry] = []
        for file in folder.glob("*.sqlite"):
            with Ledger.open(file, BUDGET) as ledger:  # checks the chain, and that what was begun can go on
                entries += ledger.entries()
        rows = {entry.round for entry in entries}
        assert len(rows) == len(entries)
        assert released <= rows
        assert len(rows - released) <= 1  # at most the one row whose release the kill prevented
        released_in_all += len(released)
    assert released_in_all > kills
