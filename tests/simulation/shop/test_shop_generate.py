"""The shop's files: the agreed form, the same bytes for the same seed, nothing private in the catalogue."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedrec.content.audio_decode import open_sound
from fedrec.errors import ConfigError, DataError
from fedrec.simulation.shop import ShopSummary, shop_summary, write_shop
from fedrec.simulation.shop.sizes import LEAST_ITEMS, default_items

USERS, ITEMS = 120, 160


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ShopSummary:
    return write_shop(tmp_path_factory.mktemp("shop") / "a", users=USERS, items=ITEMS, seed=3)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digests(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def events_of(directory: Path) -> dict[str, list[tuple[int, str]]]:
    events: dict[str, list[tuple[int, str]]] = {}
    for row in rows(directory / "interactions.csv"):
        events.setdefault(row["user"], []).append((int(row["timestamp"]), row["item"]))
    return events


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_shop(tmp_path / name, users=24, items=LEAST_ITEMS, seed=seed)
    first, second, other = (digests(tmp_path / name) for name in "abc")
    assert first == second
    assert first.keys() > {
        "items.csv",
        "interactions.csv",
        "notes.csv",
        "images/i00001.jpg",
        "sounds/i00002.wav",
        "oracle.safetensors",
    }
    assert all(first[name] != other[name] for name in ("items.csv", "interactions.csv", "notes.csv"))


def test_the_catalogue_does_not_depend_on_the_users(shop: ShopSummary, tmp_path: Path) -> None:
    write_shop(tmp_path / "few", users=20, items=ITEMS, seed=3, private_users=0)
    one, other = digests(shop.directory), digests(tmp_path / "few")
    public = [name for name in one if name == "items.csv" or name.startswith(("images/", "sounds/"))]
    assert len(public) == ITEMS + 1 + len(list((shop.directory / "sounds").iterdir()))
    assert all(one[name] == other[name] for name in public)


def test_items_have_all_fields_and_a_readable_picture(shop: ShopSummary) -> None:
    items = rows(shop.directory / "items.csv")
    assert list(items[0]) == ["item", "title", "genres", "category", "brand", "text", "price"]
    assert len({row["item"] for row in items}) == ITEMS == len(list((shop.directory / "images").iterdir()))
    for row in items:
        assert all(row.values())
        assert float(row["price"]) > 0
        assert row["title"].split()[-1] in row["text"]
    with Image.open(shop.directory / "images" / f"{items[0]['item']}.jpg") as picture:
        picture.load()
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (96, 96))


def test_most_items_have_a_short_sound_and_some_have_none(shop: ShopSummary) -> None:
    files = sorted((shop.directory / "sounds").iterdir())
    assert 0.8 * ITEMS < len(files) < 0.97 * ITEMS
    for file in files[:5]:
        sound = open_sound(file, seconds=9)
        assert (sound.rate, len(sound.samples)) == (8_000, 4_000)
        assert 0.1 < np.abs(sound.samples).max() < 1


def test_sounds_have_a_stream_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a sound draws, all else stays as it is: shops from before there were sounds come out the same."""
    write_shop(tmp_path / "a", users=24, items=LEAST_ITEMS, seed=5)
    monkeypatch.setattr("fedrec.simulation.shop.catalogue.make_sound", lambda rng, parts: rng.bytes(7))
    write_shop(tmp_path / "b", users=24, items=LEAST_ITEMS, seed=5)
    one, other = digests(tmp_path / "a"), digests(tmp_path / "b")
    silent = {name for name in one if not name.startswith("sounds/")}
    assert len(silent) > LEAST_ITEMS
    assert all(one[name] == other[name] for name in silent)
    assert not any(one[name] == other[name] for name in one.keys() - silent)


def test_events_are_ordered_and_never_repeat_an_item(shop: ShopSummary) -> None:
    events = events_of(shop.directory)
    assert len(events) == USERS
    assert sum(map(len, events.values())) == shop.interactions
    for picked in events.values():
        times = [time for time, _ in picked]
        assert times == sorted(set(times))
        assert len({item for _, item in picked}) == len(picked)


def test_evaluation_holds_the_last_items_and_99_untouched_ones(shop: ShopSummary) -> None:
    events = events_of(shop.directory)
    lists = rows(shop.directory / "loo_99neg.csv")
    assert [row["user"] for row in lists] == [row["user"] for row in rows(shop.directory / "users.csv")]
    newcomers = 0
    for row in lists:
        picked = [item for _, item in events[row["user"]]]
        negatives = set(row["negatives"].split(" "))
        assert row["test_item"] == picked[-1]
        assert row["valid_item"] == (picked[-2] if len(picked) >= 3 else "")
        assert len(negatives) == 99
        assert negatives.isdisjoint(picked)
        newcomers += len(picked) - (2 if len(picked) >= 3 else 1) < 3
    assert newcomers == shop.newcomers
    assert 0.08 * USERS < newcomers < 0.35 * USERS


def test_fresh_items_are_picked_in_the_second_season_only(shop: ShopSummary) -> None:
    season_two = 1_735_689_600 + 240 * 86_400
    early = {item for picked in events_of(shop.directory).values() for time, item in picked if time < season_two}
    late = {item for picked in events_of(shop.directory).values() for time, item in picked if time >= season_two}
    assert len(early) <= ITEMS - shop.fresh_items
    assert len(late - early) >= shop.fresh_items // 2


def test_private_texts_and_pictures_are_nowhere_in_the_catalogue(shop: ShopSummary) -> None:
    notes = rows(shop.directory / "notes.csv")
    users = {row["user"] for row in rows(shop.directory / "users.csv")}
    assert {row["user"] for row in notes} == users
    assert len(notes) == shop.notes
    catalogue = (shop.directory / "items.csv").read_text(encoding="utf-8")
    assert not any(row["text"] in catalogue for row in notes)
    photos = set((shop.directory / "photos").rglob("*.jpg"))
    assert {path.parent.name for path in photos} == users
    assert len(photos) == shop.photos
    published = {path.read_bytes() for path in (shop.directory / "images").iterdir()}
    assert published.isdisjoint(path.read_bytes() for path in photos)


def test_only_the_first_users_have_private_files_where_so_asked(tmp_path: Path) -> None:
    summary = write_shop(tmp_path / "s", users=30, items=LEAST_ITEMS, private_users=4)
    assert {row["user"] for row in rows(tmp_path / "s" / "notes.csv")} == {f"u00000{n}" for n in (1, 2, 3, 4)}
    assert len(list((tmp_path / "s" / "photos").iterdir())) == 4 == summary.private_users


def test_summary_is_read_back_and_printed(shop: ShopSummary, tmp_path: Path) -> None:
    lines: list[str] = []
    assert shop_summary(shop.directory, lines.append) == shop
    assert f"{USERS} users" in lines[0]
    assert f"{shop.photos:,} photos" in lines[0]
    with pytest.raises(DataError, match="no shop"):
        shop_summary(tmp_path)
    (tmp_path / "oracle.json").write_text('{"schema": 1}', encoding="utf-8")
    with pytest.raises(DataError, match="not the facts"):
        shop_summary(tmp_path, None)


def test_progress_reaches_the_end_of_every_part(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    write_shop(tmp_path / "s", users=20, items=LEAST_ITEMS, progress=lambda *call: calls.append(call))
    assert {(LEAST_ITEMS, LEAST_ITEMS, "items"), (20, 20, "users"), (20, 20, "notes and photos")} <= set(calls)
    assert all(0 < done <= total for done, total, _ in calls)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", 19),
        ("users", 10_000_000),
        ("users", True),
        ("users", 20.0),
        ("items", LEAST_ITEMS - 1),
        ("seed", -1),
        ("private_users", -1),
    ],
)
def test_absurd_arguments_are_refused_before_anything_is_written(name: str, value: Any, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"users": 20, name: value}
    with pytest.raises(ConfigError, match="Give an integer"):
        write_shop(tmp_path / "s", **arguments)
    assert not (tmp_path / "s").exists()


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(ConfigError, match="empty"):
        write_shop(tmp_path, users=20)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_default_items_grow_slowly() -> None:
    assert default_items(20) == default_items(1_000) == 500
    assert 500 < default_items(10_000) < default_items(100_000) < 5_000
