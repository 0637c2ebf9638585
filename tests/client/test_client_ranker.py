"""Ranking on a device: from a release on disk and a store, without anything else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ranker_cases import CONFIG, Place, tiny_contents

from fedrec.client.ranker import Ranker, recommend
from fedrec.config import from_tree
from fedrec.data.store import EventStore
from fedrec.errors import ModelError, ReleaseError, StoreError
from fedrec.ranking.lists import content_vectors
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import SigningKey


def test_a_list_has_ranks_titles_falling_scores_and_nothing_that_was_seen(place: Place) -> None:
    found = recommend(place.release, place.store, "anna", 5)
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert not {"red-shirt", "red-lamp"} & {one.item for one in found}
    for one in found:
        assert one.title == place.titles[one.item]
        assert set(one.shares) == {"text", "image", "attributes", "behaviour", "popularity"}
        assert sum(one.shares.values()) == pytest.approx(1.0)
        assert one.nearest in {"Red shirt", "Red lamp"}
        assert str(one.nearest) in one.reason


def test_asking_for_more_than_there_is_gives_what_there_is(place: Place) -> None:
    assert len(recommend(place.release, place.store, "anna", 500)) == len(place.titles) - 2
    assert len(recommend(place.release, place.store, "newcomer", 500)) == len(place.titles)


@pytest.mark.parametrize("user", ["newcomer", "writer", "blurred"])
def test_a_user_without_events_gets_recommendations(place: Place, user: str) -> None:
    found = recommend(place.release, place.store, user, 3)
    assert len(found) == 3
    assert all(one.nearest is None and one.reason for one in found)


def test_notes_and_photos_change_the_list_and_its_reasons(place: Place) -> None:
    newcomer = recommend(place.release, place.store, "newcomer", 12)
    writer = recommend(place.release, place.store, "writer", 12)
    assert [one.item for one in newcomer] != [one.item for one in writer]
    assert "wrote" in writer[0].reason
    assert "photographed" in writer[0].reason
    assert "Without knowing you" in newcomer[0].reason
    assert "photographed" not in recommend(place.release, place.store, "blurred", 1)[0].reason


def test_a_newcomer_sees_the_most_popular_first(place: Place) -> None:
    popular = list(place.titles)[::-1]
    assert [one.item for one in recommend(place.release, place.store, "newcomer", 12)] == popular


def test_ranking_neither_writes_to_the_store_nor_to_the_release(place: Place) -> None:
    before = {path.name: path.read_bytes() for path in place.release.iterdir()}
    with EventStore.open(place.store) as store:
        users, events = store.users(), store.events("anna")
    recommend(place.release, place.store, "anna", 3)
    assert {path.name: path.read_bytes() for path in place.release.iterdir()} == before
    with EventStore.open(place.store) as store:
        assert (store.users(), store.events("anna")) == (users, events)


def test_the_same_device_gets_the_same_list(place: Place) -> None:
    assert recommend(place.release, place.store, "anna", 9) == recommend(place.release, place.store, "anna", 9)


def test_an_unknown_user_is_refused_and_nothing_but_ids_is_told(place: Place) -> None:
    with pytest.raises(StoreError, match="no such user") as caught:
        recommend(place.release, place.store, "nobody", 3)
    assert "4 users" in caught.value.action
    assert "anna" in caught.value.action
    assert "red-" not in str(caught.value)


def test_a_device_of_many_users_names_a_few(place: Place, tmp_path: Path) -> None:
    with EventStore.create(tmp_path / "many.sqlite") as store:
        for number in range(9):
            store.add_user(f"u{number}")
    with pytest.raises(StoreError) as caught:
        recommend(place.release, tmp_path / "many.sqlite", "nobody", 3)
    assert "u4" in caught.value.action
    assert "u5" not in caught.value.action
    assert "4 more" in caught.value.action


def test_a_release_is_held_to_the_trusted_key(place: Place, tmp_path: Path) -> None:
    assert recommend(place.release, place.store, "anna", 1, trusted_key=place.key)
    for bad in (place.other_key, tmp_path / "absent.pub", place.store):
        with pytest.raises(ReleaseError):
            recommend(place.release, place.store, "anna", 1, trusted_key=bad)


def fresh_store(place: Place, directory: Path) -> Path:
    """The same events on a device that has not ranked with anything, and so knows no publisher."""
    with EventStore.open(place.store) as store, EventStore.create(directory / "fresh.sqlite") as fresh:
        fresh.add_events("anna", store.events("anna"))
    return directory / "fresh.sqlite"


def test_what_cannot_be_ranked_with_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError):
        recommend(tmp_path, place.store, "anna", 3)
    with pytest.raises(StoreError):
        recommend(place.release, tmp_path / "absent.sqlite", "anna", 3)
    with pytest.raises(ModelError):
        recommend(place.release, place.store, "anna", 0)


def test_a_release_with_settings_of_another_version_is_refused(place: Place, tmp_path: Path) -> None:
    contents = tiny_contents(tmp_path, from_tree(CONFIG))
    changed = ReleaseContents(
        name="odd",
        items=contents.items,
        model=None,
        collaborative=contents.collaborative,
        config={"collaborative": {"colour": 1}},
    )
    write_release(tmp_path / "odd", changed, key=SigningKey.fresh())
    with pytest.raises(ReleaseError, match="settings"):
        recommend(tmp_path / "odd", fresh_store(place, tmp_path), "anna", 3)


def test_a_release_without_a_model_ranks_by_behaviour(place: Place, tmp_path: Path) -> None:
    contents = tiny_contents(tmp_path, from_tree(CONFIG))
    bare = ReleaseContents(
        name="bare", items=contents.items, model=None, collaborative=contents.collaborative, config=contents.config
    )
    write_release(tmp_path / "bare", bare, key=SigningKey.fresh())
    found = recommend(tmp_path / "bare", fresh_store(place, tmp_path), "anna", 3)
    assert len(found) == 3
    assert all(set(one.shares) == {"behaviour", "popularity"} for one in found)


def test_a_ranker_serves_many_users_of_one_release(place: Place) -> None:
    ranker = Ranker(read_release(place.release))
    with EventStore.open(place.store) as store:
        for user in store.users():
            assert ranker.recommend(store, user, 4) == recommend(place.release, place.store, user, 4)


def test_variety_parts_items_that_are_alike_and_keeps_the_best_first(place: Place) -> None:
    plain = recommend(place.release, place.store, "anna", 99)
    assert recommend(place.release, place.store, "anna", 99, variety=0.0) == plain
    items = read_release(place.release).contents.items
    vectors = content_vectors(items.values, items.present)
    assert vectors is not None
    unit = {one: row / np.linalg.norm(row) for one, row in zip(items.ids, vectors, strict=True)}
    varied = recommend(place.release, place.store, "anna", 2, variety=1.0)
    assert [one.rank for one in varied] == [1, 2]
    assert varied[0].item == plain[0].item
    likeness = {one.item: float(unit[one.item] @ unit[plain[0].item]) for one in plain[1:]}
    assert likeness[varied[1].item] == pytest.approx(min(likeness.values()))
    assert varied[1].item != plain[1].item
    with pytest.raises(ModelError, match="variety"):
        recommend(place.release, place.store, "anna", 6, variety=1.5)


def test_by_evidence_notes_and_photos_rank_without_a_tower(place: Place, tmp_path: Path) -> None:
    config = from_tree({**CONFIG, "collaborative": {"scoring": {"weight": 1.0, "evidence": True}}})
    contents = replace(tiny_contents(tmp_path, config), model=None)
    write_release(tmp_path / "release", contents, key=SigningKey.fresh())
    with EventStore.open(place.store) as store:
        ranker = Ranker(read_release(tmp_path / "release"))
        newcomer = ranker.recommend(store, "newcomer", 12)
        writer = ranker.recommend(store, "writer", 12)
    assert [one.item for one in newcomer] == list(place.titles)[::-1]
    assert [one.item for one in writer] != [one.item for one in newcomer]
    assert {"notes", "photos", "behaviour", "popularity"} == set(writer[0].shares)
    assert all(sum(one.shares.values()) == pytest.approx(1) for one in [*newcomer, *writer])
    given = ranker.recommend_for([], 12, notes=["a blue lamp"])
    assert "notes" in given[0].shares and "wrote" in given[0].reason
