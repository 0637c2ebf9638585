"""Which events speak for an item: the same that decide the nearest, and how alike the content of the two is."""

import numpy as np
import pytest

from fedrec.ranking.speaking import MOST, speaking
from fedrec.release.contents import CatalogueItems

ITEMS = 6


@pytest.fixture
def features() -> CatalogueItems:
    text = np.zeros((ITEMS, 2), dtype=np.float32)
    text[:4] = [[1, 0], [1, 0], [-1, 0], [-1, 0]]
    present = np.array([True, True, True, True, False, True])
    return CatalogueItems(
        ids=tuple(f"i{place}" for place in range(ITEMS)),
        titles=("",) * ITEMS,
        values={"text": text, "tokens": np.zeros((ITEMS, 3), dtype=np.int32)},
        present={"text": present, "tokens": np.ones(ITEMS, dtype=np.bool_)},
    )


def test_the_loudest_come_first_with_their_part_of_all(features: CatalogueItems) -> None:
    met = np.array([1, 2, 3, 4, 5])
    found = speaking(features, 0, met, np.array([1.0, 3.0, -2.0, 0.5, 0.5]))
    assert [one.item for one in found] == [2, 1, 4]
    assert len(found) == MOST
    assert [one.share for one in found] == pytest.approx([0.6, 0.2, 0.1])


def test_content_is_compared_where_both_items_have_it(features: CatalogueItems) -> None:
    said = speaking(features, 0, np.array([1, 2, 4]), np.array([3.0, 2.0, 1.0]))
    alike = {one.item: dict(one.alike) for one in said}
    assert alike[1]["text"] == pytest.approx(1.0)
    assert alike[2]["text"] == pytest.approx(-1.0)
    assert alike[4] == {}


def test_what_speaks_against_an_item_is_not_named(features: CatalogueItems) -> None:
    assert speaking(features, 0, np.array([1, 0]), np.array([-0.5, -np.inf])) == ()
    assert speaking(features, 0, np.zeros(0, dtype=np.int64), np.zeros(0)) == ()
