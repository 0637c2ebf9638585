"""The benchmark of preset auto: so many users with all that is theirs, and its lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedrec.data.reader import read_dataset
from fedrec.simulation.shop.generate import write_shop
from simulations.benchmarks.auto import below_popularity, some_users


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("auto") / "shop"
    write_shop(place, users=40, seed=3)
    return place


def test_some_users_keep_all_that_is_theirs_and_nothing_of_others(shop: Path) -> None:
    whole = read_dataset(shop)
    few = some_users(whole, 12, seed=1)
    assert len(few.users) == 12
    assert few.items == whole.items
    assert some_users(whole, 12, seed=1).users == few.users != some_users(whole, 12, seed=2).users
    for place, user in enumerate(few.users):
        before = whole.users.index(user)
        mine, theirs = few.interactions, whole.interactions
        np.testing.assert_array_equal(mine.item[mine.user == place], theirs.item[theirs.user == before])
        assert few.notes.get(place) == whole.notes.get(before)
        assert few.photos.get(place) == whole.photos.get(before)


def run_of(own: float, level: float) -> dict[str, object]:
    return {"quality": {"loo-99neg": {"hr@10": own}}, "baselines": {"private popularity": {"hr@10": level}}}


def test_a_line_is_below_popularity_by_its_mean_over_seeds() -> None:
    runs = [run_of(0.1, 0.2), run_of(0.4, 0.2), run_of(0.1, 0.2), run_of(0.2, 0.2)]
    assert below_popularity(runs, 2) == 1
    assert below_popularity(runs, 1) == 2
