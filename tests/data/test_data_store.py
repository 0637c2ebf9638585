"""The event store: what goes in comes out, nothing is half-written, and a file that is not ours is refused."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store import EventStore
from fedrec.errors import StoreError

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
events = st.builds(
    Event,
    item=names,
    timestamp=st.none() | st.integers(0, 2**63 - 1),
    rating=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore.create(tmp_path / "device.sqlite", device_name="phone") as made:
        yield made


def in_time_order(added: list[Event]) -> list[Event]:
    """The law, stated independently: first occurrences, the unknown times first, then by time, ties as added."""
    once = list(dict.fromkeys(added))
    unknown = [event for event in once if event.timestamp is None]
    timed = [event for event in once if event.timestamp is not None]
    return unknown + sorted(timed, key=lambda event: event.timestamp or 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, st.lists(events, max_size=12), max_size=3))
def test_events_survive_a_round_trip_and_a_restart(history: dict[str, list[Event]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "device.sqlite"
        with EventStore.create(path) as store:
            for user, listed in history.items():
                assert store.add_events(user, listed) == len(set(listed))
                assert store.add_events(user, listed) == 0
        with EventStore.open(path) as store:
            assert store.users() == list(history)
            for user, listed in history.items():
                assert store.events(user) == in_time_order(listed)


def test_a_store_with_no_events_works_everywhere(store: EventStore) -> None:
    assert store.users() == []
    store.add_user("ann")
    store.add_user("ann")
    assert store.users() == ["ann"]
    for user in ("ann", "nobody"):
        assert store.events(user) == []
        assert store.notes(user) == []
        assert store.photos(user) == []
        assert store.get_state(user, "adapter") is None
        assert store.held_out(user) == (None, None)
    assert store.get_setting("theme") is None
    assert store.add_events("ann", []) == 0
    store.forget("nobody")


def test_events_of_two_users_stay_apart(store: EventStore) -> None:
    store.add_events("ann", [Event("a", 1)])
    assert store.add_events("bob", [Event("a", 1)]) == 1
    assert store.events("ann") == [Event("a", 1)]
    assert store.events("bob") == [Event("a", 1)]


def test_equal_means_item_time_and_rating(store: EventStore) -> None:
    distinct = [Event("a"), Event("a", 0), Event("a", 0, 0.0), Event("a", 0, 1.0), Event("a", None, 0.0)]
    assert store.add_events("ann", distinct + distinct) == 5
    assert set(store.events("ann")) == set(distinct)


def test_notes_photos_state_held_out_and_settings(store: EventStore) -> None:
    store.add_note("ann", Note("later", 9))
    store.add_note("ann", Note("undated"))
    assert store.notes("ann") == [Note("undated"), Note("later", 9)]
    store.add_photo("ann", Photo("b.jpg", b"\x00old"))
    store.add_photo("ann", Photo("a.jpg", b"1"))
    store.add_photo("ann", Photo("b.jpg", b"\x00new"))
    assert store.photos("ann") == [Photo("b.jpg", b"\x00new"), Photo("a.jpg", b"1")]
    store.set_state("ann", "adapter", b"")
    assert store.get_state("ann", "adapter") == b""
    store.set_state("ann", "adapter", b"\x01")
    assert store.get_state("ann", "adapter") == b"\x01"
    store.set_held_out("ann", None, "t")
    store.set_held_out("ann", "v", "t")
    assert store.held_out("ann") == ("v", "t")
    store.set_setting("limits", json.dumps({"cohort": 10}))
    store.set_setting("limits", json.dumps({"cohort": 20}))
    assert json.loads(store.get_setting("limits") or "") == {"cohort": 20}
    assert store.device_name == "phone"


@pytest.mark.parametrize(
    "event",
    [
        Event(""),
        Event("a", -1),
        Event("a", 2**63),
        Event("a", None, float("nan")),
        Event("a", None, float("inf")),
        Event("\ud800"),
    ],
)
def test_a_bad_event_undoes_the_whole_call(store: EventStore, event: Event) -> None:
    with pytest.raises(StoreError):
        store.add_events("ann", [Event("good", 1), event])
    assert store.events("ann") == []
    assert store.users() == []


def test_other_bad_values_are_refused(store: EventStore) -> None:
    with pytest.raises(StoreError, match="name"):
        store.add_events("", [Event("a")])
    with pytest.raises(StoreError, match="text"):
        store.add_note("ann", Note(""))
    with pytest.raises(StoreError, match="timestamp"):
        store.add_note("ann", Note("x", -5))
    with pytest.raises(StoreError, match="byte"):
        store.add_photo("ann", Photo("empty.jpg", b""))
    with pytest.raises(StoreError, match="JSON"):
        store.set_setting("limits", "{")
    assert store.users() == []


def test_an_exception_inside_a_transaction_undoes_it(store: EventStore) -> None:
    store.add_events("ann", [Event("before")])
    with pytest.raises(KeyError), store.transaction():
        store.add_events("ann", [Event("x")])
        with store.transaction():
            store.add_note("ann", Note("y"))
        raise KeyError
    assert store.events("ann") == [Event("before")]
    assert store.notes("ann") == []
    store.add_events("ann", [Event("after")])
    assert store.events("ann") == [Event("before"), Event("after")]


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = EventStore.create(tmp_path / "device.sqlite")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.events("ann")


def test_the_file_is_for_its_owner_only(store: EventStore) -> None:
    store.add_events("ann", [Event("a")])
    for file in store.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_forgetting_a_user_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    with EventStore.create(path) as store:
        store.add_events("ann", [Event(f"secret-{k}", k) for k in range(300)])
        store.add_note("ann", Note("secret-note"))
        store.add_photo("ann", Photo("secret.jpg", b"secret-bytes" * 500))
        store.set_state("ann", "adapter", b"secret-state")
        store.set_held_out("ann", "secret-v", None)
        store.add_events("bob", [Event("kept", 1)])
    with EventStore.open(path) as store:
        store.forget("ann")
        everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert store.users() == ["bob"]
        assert store.events("bob") == [Event("kept", 1)]
        assert store.events("ann") == []
    assert b"secret" not in everything
    assert b"ann" not in everything


def test_a_second_process_waits_and_then_reports_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedrec.data.store_file.BUSY_SECONDS", 0.05)
    path = tmp_path / "device.sqlite"
    with EventStore.create(path) as first, EventStore.open(path) as second:
        with first.transaction():
            first.add_events("ann", [Event("a")])
            assert second.events("ann") == []
            with pytest.raises(StoreError, match="Another process"):
                second.add_events("ann", [Event("b")])
        assert second.add_events("ann", [Event("b")]) == 1
        assert len(first.events("ann")) == 2
