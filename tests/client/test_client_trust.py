"""Who a device is, and whose roster it believes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedrec.client.trust import identity_of, roster_of, trust_roster_key
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError, StoreError
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster

KEY = DeviceIdentity.fresh()
OTHER = DeviceIdentity.fresh()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore.create(tmp_path / "device.sqlite") as opened:
        yield opened


def roster(path: Path, store: EventStore, version: int = 1, key: DeviceIdentity = KEY) -> Path:
    path.write_bytes(Roster.of([identity_of(store).public, OTHER.public], version).sign(key))
    return path


def test_an_identity_is_made_once_and_stays(store: EventStore) -> None:
    first = identity_of(store).public
    assert identity_of(store).public == first
    with EventStore.open(store.path) as again:
        assert identity_of(again).public == first


def test_a_damaged_identity_is_not_replaced_and_not_shown(store: EventStore) -> None:
    for damaged, error in (('"abcd"', ProtocolError), ('"not hex"', StoreError), ("7", StoreError)):
        store.set_setting("secagg identity", damaged)
        with pytest.raises(error) as raised:
            identity_of(store)
        assert "not hex" not in str(raised.value)


def test_a_device_believes_one_roster_key(store: EventStore) -> None:
    trust_roster_key(store, KEY.public)
    trust_roster_key(store, KEY.public)
    for other in (OTHER.public, b"short"):
        with pytest.raises(ProtocolError):
            trust_roster_key(store, other)


def test_a_roster_of_another_signer_is_not_believed(store: EventStore, tmp_path: Path) -> None:
    path = tmp_path / "roster"
    with pytest.raises(ConfigError, match="no roster key"):
        roster_of(store, path)
    trust_roster_key(store, KEY.public)
    for missing in (None, path):
        with pytest.raises(ConfigError):
            roster_of(store, missing)
    with pytest.raises(ProtocolError):
        roster_of(store, roster(path, store, key=OTHER))
    assert identity_of(store).public in roster_of(store, roster(path, store)).devices


def test_no_older_roster_is_taken(store: EventStore, tmp_path: Path) -> None:
    trust_roster_key(store, KEY.public)
    path = tmp_path / "roster"
    assert roster_of(store, roster(path, store, 2)).version == 2
    assert roster_of(store, roster(path, store, 2)).version == 2
    with pytest.raises(ProtocolError, match="older"):
        roster_of(store, roster(path, store, 1))
    path.write_bytes(Roster.of([identity_of(store).public], 2).sign(KEY))  # another one under the same number
    with pytest.raises(ProtocolError, match="older"):
        roster_of(store, path)
    assert roster_of(store, roster(path, store, 3)).version == 3
