"""From a store to a population: what a device makes of its events, notes and photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.client.load_population import load_population
from fedrec.content.own_content import StoredContentEncoder
from fedrec.content.registry import AnyEncoder
from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store import EventStore
from fedrec.randomness import user_hash
from fedrec.simulation.study import Study

INDEX = {"a": 0, "b": 1, "c": 2, "d": 3}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore.create(tmp_path / "one.sqlite") as opened:
        yield opened


def test_events_become_places_in_time_order_none_twice_and_strangers_are_counted(store: EventStore) -> None:
    events = [Event("c", 30), Event("a", 10), Event("x", 15), Event("c", 40), Event("b", 20), Event("y", 50)]
    store.add_events("ann", events)
    collected = load_population(store, INDEX)
    assert collected.population.histories.items.tolist() == [0, 1, 2]
    assert collected.population.histories.indptr.tolist() == [0, 3]
    assert collected.population.keys.tolist() == [user_hash("ann")]
    assert collected.population.held_out.tolist() == [-1]
    assert collected.unknown == 2
    assert collected.population.notes is None


def test_what_is_held_out_is_in_no_training_event(store: EventStore) -> None:
    store.add_events("ann", [Event("a", 1), Event("b", 2), Event("c", 3)])
    store.set_held_out("ann", "b", "c")
    population = load_population(store, INDEX).population
    assert population.histories.items.tolist() == [0]
    assert population.held_out.tolist() == [1]


def test_a_held_out_item_that_the_catalogue_lacks_is_none(store: EventStore) -> None:
    store.add_events("ann", [Event("a", 1)])
    store.set_held_out("ann", "x", None)
    assert load_population(store, INDEX).population.held_out.tolist() == [-1]


def test_users_of_one_device_stay_apart(store: EventStore) -> None:
    store.add_events("ann", [Event("a", 1), Event("b", 2)])
    store.add_user("bob")
    store.add_events("cid", [Event("b", 1)])
    population = load_population(store, INDEX).population
    assert population.histories.indptr.tolist() == [0, 2, 2, 3]
    assert population.histories.items.tolist() == [0, 1, 1]
    assert len(population) == 3


def test_an_empty_store_is_an_empty_population(store: EventStore) -> None:
    population = load_population(store, INDEX).population
    assert len(population) == 0
    assert population.histories.indptr.tolist() == [0]


def test_the_devices_of_a_study_hold_the_population_of_the_study(federation_study: Study, tmp_path: Path) -> None:
    _, stores = cases.place(federation_study, tmp_path)
    whole = federation_study.population
    notes, photos = (StoredContentEncoder.of(federation_study.encoders[modality]) for modality in ("text", "image"))
    for place in range(cases.USERS):
        one = whole.take(np.array([place]))
        with EventStore.open(stores / f"{place:05d}.sqlite") as opened:
            collected = load_population(opened, federation_study.features.index, notes=notes, photos=photos)
        mine = collected.population
        assert collected.unknown == 0
        for name in ("keys", "held_out"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(one, name))
        for name in ("indptr", "items"):
            np.testing.assert_array_equal(getattr(mine.histories, name), getattr(one.histories, name))
        for ours, theirs in ((mine.notes, one.notes), (mine.photos, one.photos)):
            assert ours is not None
            assert theirs is not None
            np.testing.assert_array_equal(ours.indptr, theirs.indptr)
            np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-5, atol=1e-6)
    assert whole.notes is not None
    assert whole.notes.indptr[-1] > cases.USERS


class Counting:
    """An encoder that counts how many pieces it was given."""

    def __init__(self, encoder: AnyEncoder) -> None:
        self.encoder = encoder
        self.pieces = 0

    def encode(self, batch: list[Any]) -> Any:
        self.pieces += len(batch)
        return self.encoder.encode(batch)

    def empty(self, rows: int) -> Any:
        return self.encoder.empty(rows)


def test_each_note_is_encoded_once_until_notes_or_encoder_change(federation_study: Study, store: EventStore) -> None:
    counting = Counting(federation_study.encoders["text"])
    reading = StoredContentEncoder(counting, "first")  # type: ignore[arg-type]
    store.add_note("ann", Note(federation_study.features.titles[0]))
    first = load_population(store, INDEX, notes=reading).population.notes
    second = load_population(store, INDEX, notes=reading).population.notes
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.values, second.values)
    assert counting.pieces == 1
    store.add_note("ann", Note(federation_study.features.titles[1]))
    third = load_population(store, INDEX, notes=reading).population.notes
    assert third is not None
    assert third.indptr.tolist() == [0, 2]
    assert counting.pieces == 3
    load_population(store, INDEX, notes=replace(reading, digest="second"))
    assert counting.pieces == 5


def test_a_damaged_copy_is_made_again(federation_study: Study, store: EventStore) -> None:
    counting = Counting(federation_study.encoders["text"])
    reading = StoredContentEncoder(counting, "first")  # type: ignore[arg-type]
    store.add_note("ann", Note(federation_study.features.titles[0]))
    first = load_population(store, INDEX, notes=reading).population.notes
    store.set_state("ann", "encoded notes", b"not what was kept")
    again = load_population(store, INDEX, notes=reading).population.notes
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.values, again.values)
    assert counting.pieces == 2


def test_a_photo_that_is_no_picture_spoils_nothing(federation_study: Study, store: EventStore) -> None:
    store.add_photo("ann", Photo("broken.jpg", b"no picture at all"))
    store.add_user("bob")
    population = load_population(
        store, INDEX, photos=StoredContentEncoder.of(federation_study.encoders["image"])
    ).population
    assert population.photos is not None
    assert population.photos.indptr.tolist() == [0, 0, 0]
    assert population.photos.values.shape == (0, *federation_study.features.shapes["image"])
