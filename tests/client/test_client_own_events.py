"""What a person adds on a device is checked, kept, and in the next list."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ranker_cases import Place

from fedrec.client.history import history_page
from fedrec.client.own_events import LONGEST_NOTE, KnownItems, add_event, add_note, add_photo, moment_of
from fedrec.client.ranker import Ranker
from fedrec.client.who import adding_user, chosen_user
from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store import EventStore
from fedrec.errors import ContentError, StoreError
from fedrec.release.bundle import read_release


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> EventStore:
    return EventStore.create(tmp_path_factory.mktemp("own") / "store.sqlite")


@pytest.fixture(scope="module")
def ranker(place: Place) -> Ranker:
    return Ranker(read_release(place.release))


def items_of(ranker: Ranker) -> KnownItems:
    return KnownItems(ranker.ids, ranker.titles)


def png(width: int, height: int) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (width, height), (9, 9, 9)).save(held, "PNG")
    return held.getvalue()


def test_an_event_is_found_by_id_or_title_and_the_next_list_knows_it(ranker: Ranker, store: EventStore) -> None:
    before = time.time()
    event = add_event(store, "me", "blue LAMP", items=items_of(ranker))
    assert event is not None and event.item == "blue-lamp" and event.timestamp is not None
    assert before - 1 <= event.timestamp <= time.time()
    first = [one.item for one in ranker.recommend(store, "me", 12)]
    assert "blue-lamp" not in first and len(first) == 11
    add_event(store, "me", "red-mug", at=5, rating=4.0, items=items_of(ranker))
    assert store.events("me")[0] == Event("red-mug", 5, 4.0)
    assert [one.item for one in ranker.recommend(store, "me", 12)] != first
    assert add_event(store, "me", "red-mug", at=5, rating=4.0, items=items_of(ranker)) is None


def test_notes_and_photos_change_the_next_list(ranker: Ranker, store: EventStore) -> None:
    store.add_user("me")
    scores = [[one.score for one in ranker.recommend(store, "me", 12)]]
    add_note(store, "me", "I like red tents")
    scores.append([one.score for one in ranker.recommend(store, "me", 12)])
    photo = add_photo(store, "me", png(20, 20))
    scores.append([one.score for one in ranker.recommend(store, "me", 12)])
    assert scores[0] != scores[1] != scores[2]
    assert len(photo.name) == 16 and store.photos("me") == [photo]


def test_an_unknown_item_is_refused_with_what_is_like_it_or_kept_where_nothing_is_checked(
    ranker: Ranker, store: EventStore
) -> None:
    with pytest.raises(ContentError, match="Did you mean blue-lamp"):
        add_event(store, "me", "blue-lmap", items=items_of(ranker))
    with pytest.raises(ContentError, match="--query"):
        add_event(store, "me", "zzzzqqqq", items=items_of(ranker))
    assert store.users() == []
    kept = add_event(store, "me", "of-a-later-release", at=1)
    assert store.events("me") == [kept]
    assert len(ranker.recommend(store, "me", 12)) == 12


def test_a_title_that_two_items_have_is_no_name() -> None:
    items = KnownItems(("a", "b", "c"), ("Lamp", "Lamp", "Mug"))
    assert items.find("lamp") is None and items.find("mug ") == "c" and items.find("b") == "b"
    assert items.find("  ") is None


@pytest.mark.parametrize("text", ["", "  \n ", "x" * (LONGEST_NOTE + 1), "\u00e9" * (LONGEST_NOTE // 2 + 1)])
def test_a_note_that_says_nothing_or_is_too_long_is_refused(store: EventStore, text: str) -> None:
    with pytest.raises(ContentError, match="note"):
        add_note(store, "me", text)
    assert store.users() == []


@pytest.mark.parametrize("data", [b"", b"no picture", png(64, 64)[:90], png(20_001, 1)])
def test_a_photo_that_cannot_be_decoded_is_refused(store: EventStore, data: bytes) -> None:
    with pytest.raises(ContentError, match="photo cannot be used"):
        add_photo(store, "me", data)
    assert store.users() == []


def test_what_is_yet_to_come_is_refused(store: EventStore) -> None:
    with pytest.raises(StoreError, match="yet to come"):
        add_event(store, "me", "a", at=int(time.time()) + 90_000)


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_a_time_is_read_in_every_form(seconds: int) -> None:
    date = str(np.datetime64(seconds, "s"))
    assert moment_of(str(seconds)) == moment_of(date) == moment_of(f"{date}Z") == moment_of(f"{date}+00:00") == seconds
    assert moment_of(f"{date}.5+00:00") == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="no time"):
        moment_of(text)


def test_the_only_user_needs_no_name(store: EventStore) -> None:
    with pytest.raises(StoreError, match="no user yet"):
        chosen_user(store, None)
    assert adding_user(store, None) == "me" and adding_user(store, "anna") == "anna"
    store.add_user("anna")
    assert chosen_user(store, None) == adding_user(store, None) == "anna"
    with pytest.raises(StoreError, match="--new-user"):
        adding_user(store, "ana")
    assert adding_user(store, "ben", new=True) == "ben"
    store.add_user("ben")
    with pytest.raises(StoreError, match="anna, ben"):
        chosen_user(store, None)


def test_a_history_has_every_line_once_newest_first(store: EventStore) -> None:
    store.add_events("me", [Event(f"i{place}", place) for place in range(5)] + [Event("old")])
    store.add_note("me", Note("between", 2))
    store.add_photo("me", Photo("p", b"x"))
    pages = [history_page(store, "me", page=page, size=3, titles={"i4": "Four"}) for page in (1, 2, 3)]
    lines = [line for page in pages for line in page.lines]
    assert [line.what for line in lines] in (
        ["i4", "i3", "between", "i2", "i1", "i0", "old", "p"],
        ["i4", "i3", "i2", "between", "i1", "i0", "old", "p"],
    )
    assert lines[0].title == "Four" and pages[0].pages == 3
    assert (pages[0].events, pages[0].notes, pages[0].photos) == (6, 1, 1)
    with pytest.raises(StoreError, match="no such page"):
        history_page(store, "me", page=4, size=3)
    assert history_page(store, "nobody").lines == ()
