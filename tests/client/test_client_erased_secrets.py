"""When a sum is over, or another begins, its secrets are in none of the store's files, the write-ahead log included."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path

import federation_cases as cases
import hostile_cases as hostile
import pytest
from hostile_cases import hostile_devices, requests

from fedrec.client import secure_device
from fedrec.client.pending_round import keep
from fedrec.data.store import EventStore
from fedrec.queries.secure_wire import Exchange
from fedrec.secagg.device_state import unpack_state
from fedrec.server.aggregation_failed import AggregationFailedError
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

CONFIG = cases.settings(
    secure_aggregation={"protocol": "secagg+", "minimum_cohort": 12, "minimum_survivors": 10, "attempts": 1}
)
WATCHED = 5


def written_forms(state: bytes) -> Iterator[bytes]:
    """What of a state's text is made of its secrets alone: the device's seeds, and the shares of neighbours."""
    kept = unpack_state(state)
    for whose in (kept.secrets, *kept.held.values()):
        for part in () if whose is None else (getattr(whose, one.name) for one in fields(whose)):
            place = state.index(part)
            inner = state[-(-place // 3) * 3 : (place + len(part)) // 3 * 3]
            yield base64.b64encode(inner)


@contextmanager
def watched(out: Path) -> Iterator[set[bytes]]:
    """The secrets that one device kept between exchanges; while another process has its store open, and reads it."""
    seen: set[bytes] = set()

    def kept(store: EventStore, state: bytes | None) -> None:
        if state is not None and store.path.stem == f"{WATCHED:05d}":
            seen.update(written_forms(state))
        keep(store, state)

    def begun(store: EventStore, pending: secure_device.PendingRound) -> None:
        begin(store, pending)
        if store.path.stem == f"{WATCHED:05d}":
            seen.update(written_forms(pending.state))

    begin = secure_device.begin
    path = out / "stores" / f"{WATCHED:05d}.sqlite"
    with pytest.MonkeyPatch.context() as patch, closing(sqlite3.connect(path)) as reader:
        reader.execute("SELECT count(*) FROM event").fetchall()
        patch.setattr(secure_device, "keep", kept)
        patch.setattr(secure_device, "begin", begun)
        yield seen


def found_in(out: Path, secrets: set[bytes]) -> set[str]:
    """The files of the device's store in which a secret can be read."""
    files = sorted((out / "stores").glob(f"{WATCHED:05d}.sqlite*"))
    assert f"{WATCHED:05d}.sqlite-wal" in [path.name for path in files], "nobody holds the log open"
    return {path.name for path in files if any(secret in path.read_bytes() for secret in secrets)}


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_of_a_sum_that_is_over_can_be_read(shared: bool, federation_study: Study, tmp_path: Path) -> None:
    first, _ = requests(CONFIG, federation_study)
    with (
        hostile_devices(CONFIG, federation_study, tmp_path, shared=shared) as (devices, _),
        watched(tmp_path) as secrets,
    ):
        devices.aggregate(first, range(cases.USERS))
        assert len(secrets) > 4, "shares of neighbours were kept, too"
        assert not found_in(tmp_path, secrets)


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_of_a_sum_that_came_to_no_end_can_be_read_when_another_begins(
    shared: bool, federation_study: Study, tmp_path: Path
) -> None:
    first, second = requests(CONFIG, federation_study)
    with (
        hostile_devices(CONFIG, federation_study, tmp_path, shared=shared) as (devices, stage),
        watched(tmp_path) as secrets,
    ):
        stage.put(Exchange.UNMASK, dict.fromkeys(range(cases.USERS), hostile.crash))
        with pytest.raises(AggregationFailedError):
            devices.aggregate(first, range(cases.USERS))
        lost = set(secrets)
        assert found_in(tmp_path, lost), "while it may still be opened, the device needs them"
        stage.acts.clear()
        devices.aggregate(second, range(cases.USERS))
        assert not found_in(tmp_path, lost)


def test_a_log_that_is_not_emptied_has_them(
    federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventStore, "empty_log", lambda self: False)
    first, _ = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, _), watched(tmp_path) as secrets:
        devices.aggregate(first, range(cases.USERS))
        assert found_in(tmp_path, secrets) == {f"{WATCHED:05d}.sqlite-wal"}


def test_a_reader_in_the_middle_of_a_transaction_delays_it_and_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    with EventStore.create(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        store.set_setting("secret", '"marmalade"')
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM setting").fetchall()
        store.set_setting("secret", "null")
        assert store.empty_log() is False
        reader.execute("COMMIT")
        assert store.empty_log() is True
        assert not [one for one in tmp_path.iterdir() if b"marmalade" in one.read_bytes()]


def test_two_messages_at_once_get_one_answer(
    federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long is outside of transactions, so the end of a step looks whether it is still where it began."""
    first, _ = requests(CONFIG, federation_study)
    right, calls = secure_device.progress, [0]

    def moved(store: EventStore) -> tuple[str | None, ...]:
        calls[0] += 1
        return right(store) if calls[0] % 2 else (*right(store), "moved on")

    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, _):
        monkeypatch.setattr(secure_device, "progress", moved)
        with pytest.raises(AggregationFailedError):
            devices.aggregate(first, range(cases.USERS))
        assert devices.tally == {"refused": cases.USERS}
