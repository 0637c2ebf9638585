"""A release opened from Python: it ranks without a store as a device does with one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ranker_cases import Place, a_picture

from fedrec.api.release import open_release
from fedrec.client.ranker import recommend
from fedrec.data.schema import Event
from fedrec.errors import DataError, ModelError, ReleaseError


def test_an_opened_release_ranks_as_a_device_with_a_store(place: Place, tmp_path: Path) -> None:
    release = open_release(place.release)
    history = ["red-shirt", "red-lamp", "gone-item", "red-shirt"]
    assert release.recommend(history, top=5) == recommend(place.release, place.store, "anna", 5)
    events = [Event(item, 10 * (when + 1)) for when, item in enumerate(history)]
    assert release.recommend(events, top=5) == recommend(place.release, place.store, "anna", 5)
    assert release.recommend(top=4) == recommend(place.release, place.store, "newcomer", 4)
    photo = a_picture(tmp_path / "mine.png", "red")
    written = recommend(place.release, place.store, "writer", 12)
    for given in (photo, str(photo), photo.read_bytes()):
        found = release.recommend(notes=["I like red tents and a red mug"], photos=[given], top=12)
        assert found == written
    assert release.recommend(photos=[b"no picture"], top=3) == recommend(place.release, place.store, "blurred", 3)


def test_an_opened_release_says_what_it_is(place: Place) -> None:
    release = open_release(place.release)
    assert dict(release.items) == place.titles
    assert release.name == "tiny" and not release.trusted
    assert release.privacy == {"epsilon_released": None}
    assert release.config["model"]["dimension"] == 8
    assert "tiny" in repr(release) and release.signer in repr(release)
    with pytest.raises(TypeError):
        release.items["red-shirt"] = "mine"  # type: ignore[index]


def test_an_opened_release_is_held_to_the_trusted_key(place: Place) -> None:
    text = place.key.read_text()
    for key in (place.key, str(place.key), text, bytes.fromhex(text)):
        assert open_release(place.release, key).trusted
    other = place.other_key.read_text()
    for key in (place.other_key, other, bytes.fromhex(other), "no such file"):
        with pytest.raises(ReleaseError):
            open_release(place.release, key)


def test_an_opened_release_needs_no_disk(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.release, tmp_path / "gone")
    release = open_release(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    assert len(release.recommend(["red-shirt"], top=3)) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_an_opened_release_cannot_rank_for_is_refused(place: Place, tmp_path: Path) -> None:
    release = open_release(place.release)
    with pytest.raises(ModelError, match="none of the items") as caught:
        release.recommend(["gone-item", 3])
    assert "red-shirt" in caught.value.action
    with pytest.raises(ModelError, match="list of ids"):
        release.recommend("red-shirt")
    with pytest.raises(ModelError):
        release.recommend(["red-shirt"], top=0)
    with pytest.raises(DataError, match=r"gone\.jpg"):
        release.recommend(photos=[tmp_path / "gone.jpg"])


def test_an_opened_release_is_searched(place: Place, tmp_path: Path) -> None:
    release = open_release(place.release)
    found = release.search("red lamp", top=3)
    assert found[0].item == "red-lamp" and found[0].rank == 1 and "red" in found[0].reason
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    pictured = release.search(picture=a_picture(tmp_path / "mine.png", "red"), top=3)
    assert all(one.item.startswith("red") for one in pictured)
    history = ["red-lamp"]
    assert release.search("lamp", history=history, taste=0.0) == release.search("lamp")
    tasted = release.search("lamp", history=history, taste=1.0, top=12)
    ranked = [one.item for one in release.recommend(history, top=12)]
    assert [one.item for one in tasted if one.item not in history] == ranked[: len(tasted) - 1]
    for wrong in ({"taste": 1.5}, {"taste": -0.1}, {"top": 0}):
        with pytest.raises(ModelError):
            release.search("lamp", history=history, **wrong)
    with pytest.raises(DataError):
        release.search(picture=tmp_path / "absent.jpg")
