"""A shop in Parquet is the shop in CSV; a large one is made in bulk and is a shop all the same."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from fedrec.data.schema import Dataset
from fedrec.data.sources import read_data
from fedrec.errors import ConfigError
from fedrec.simulation.shop import ShopSummary, load_oracle, write_shop
from fedrec.simulation.shop.item_rows import item_rows
from fedrec.simulation.shop.latents import draw_items
from fedrec.simulation.shop.words import THEMES

USERS, ITEMS = 90, 700


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> ShopSummary:
    """A shop made as those of a million are, with few users and items."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedrec.simulation.shop.sizes.BULK_USERS", 1)
        for module in ("generate", "item_rows", "sizes"):
            patch.setattr(f"fedrec.simulation.shop.{module}.BULK_ITEMS", 200)
        patch.setattr("fedrec.simulation.shop.item_rows.BLOCK", 256)
        out = tmp_path_factory.mktemp("large") / "shop"
        return write_shop(out, users=USERS, items=ITEMS, seed=4, form="parquet")


def same_data(one: Dataset, other: Dataset) -> None:
    assert tuple(one.users) == tuple(other.users)
    for mine, theirs in zip(one.items, other.items, strict=True):
        assert (mine.id, mine.title, mine.text) == (theirs.id, theirs.title, theirs.text)
        assert (mine.attributes, mine.numbers) == (theirs.attributes, theirs.numbers)
        assert (mine.image and mine.image.name) == (theirs.image and theirs.image.name)
    for name in ("user", "item", "rating", "timestamp", "split"):
        np.testing.assert_array_equal(getattr(one.interactions, name), getattr(other.interactions, name))
    assert one.evaluation is not None and other.evaluation is not None
    for name in ("valid", "test", "negatives"):
        np.testing.assert_array_equal(getattr(one.evaluation, name), getattr(other.evaluation, name))
    assert one.notes == other.notes


def test_both_forms_are_one_data_set(tmp_path: Path) -> None:
    sizes = {"users": 40, "items": 150, "seed": 2, "private_users": 3}
    first = write_shop(tmp_path / "csv", **sizes)
    second = write_shop(tmp_path / "parquet", **sizes, form="parquet")
    assert (first.interactions, first.newcomers, first.notes) == (second.interactions, second.newcomers, second.notes)
    same_data(read_data(tmp_path / "csv"), read_data(tmp_path / "parquet"))
    for name in ("oracle.safetensors", "notes.csv", "images/i00001.jpg"):
        assert (tmp_path / "csv" / name).read_bytes() == (tmp_path / "parquet" / name).read_bytes()


def test_without_pictures_there_are_words_and_numbers_only(tmp_path: Path) -> None:
    write_shop(tmp_path / "s", users=20, items=140, pictures=False)
    found = {path.name for path in (tmp_path / "s").iterdir()}
    assert found == {
        "items.csv",
        "users.csv",
        "interactions.csv",
        "loo_99neg.csv",
        "oracle.json",
        "oracle.safetensors",
    }


def test_pictures_of_too_many_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pictures"):
        write_shop(tmp_path / "s", users=20, items=100_000, pictures=True)
    assert not (tmp_path / "s").exists()


def test_a_large_shop_keeps_the_rules_of_a_shop(large: ShopSummary) -> None:
    data = read_data(large.directory)
    table = data.interactions
    assert (len(data.users), len(data.items), len(table)) == (USERS, ITEMS, large.interactions)
    pairs = table.user.astype(np.int64) * ITEMS + table.item
    assert len(set(pairs.tolist())) == len(pairs)
    assert data.evaluation is not None
    assert data.evaluation.negatives.shape == (USERS, 99)
    for user in range(USERS):
        own = set(table.item[table.user == user].tolist())
        assert len(set(data.evaluation.negatives[user].tolist()) - own) == 99
        assert table.item[table.user == user][-1] == data.evaluation.test[user]


def test_people_of_a_large_shop_pick_what_they_like(large: ShopSummary) -> None:
    oracle, table = load_oracle(large.directory), read_data(large.directory).interactions
    scores = oracle.scores(np.arange(USERS))
    picked = scores[table.user, table.item]
    # Twelve picks of the 360 different items that are considered: far above the mean, in deviations.
    assert picked.mean() > scores.mean() + scores.std()


def test_words_in_bulk_are_those_of_the_themes(large: ShopSummary) -> None:
    known = {word for pair in THEMES for theme in pair for role in (theme.looks, theme.stuffs) for word in role}
    oracle = load_oracle(large.directory)
    low, high = set(), set()
    for item, parts in zip(read_data(large.directory).items, oracle.items.parts, strict=True):
        noun = item.title.split()[-1]
        look = item.title.split()[0].lower()
        assert look in known and noun in item.text
        assert not re.search(r"\b[Aa] [aeiou]", item.text) and "{" not in item.text
        assert re.fullmatch(r"[A-Z][^{}]+\.", item.text)
        assert 0 < item.numbers["price"] == round(item.numbers["price"], 2)
        assert len(item.attributes["genres"]) == 2
        if abs(parts[0]) > 1.5 and look in (*THEMES[0][0].looks, *THEMES[0][1].looks):
            (high if parts[0] > 0 else low).add(look)
    assert low and high
    assert low <= set(THEMES[0][0].looks) and high <= set(THEMES[0][1].looks)


def test_the_catalogue_of_a_large_shop_is_the_same_in_blocks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedrec.simulation.shop.item_rows.BULK_ITEMS", 200)
    items = draw_items(1, 300)
    first, second = (next(item_rows(1, items)) for _ in range(2))
    assert first == second and len(first) == 300


def test_large_shop_in_csv_is_the_one_in_parquet(large: ShopSummary, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedrec.simulation.shop.sizes.BULK_USERS", 1)
        for module in ("generate", "item_rows", "sizes"):
            patch.setattr(f"fedrec.simulation.shop.{module}.BULK_ITEMS", 200)
        patch.setattr("fedrec.simulation.shop.item_rows.BLOCK", 256)
        write_shop(tmp_path / "s", users=USERS, items=ITEMS, seed=4)
    same_data(read_data(tmp_path / "s"), read_data(large.directory))
    with (tmp_path / "s" / "items.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == ITEMS + 1
