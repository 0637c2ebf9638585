"""A user's vector, kept as events come in, is that of the whole history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import ModelError
from fedrec.ranking.history_sum import HistorySum
from fedrec.ranking.score import touched
from fedrec.users import Histories


@given(st.lists(st.integers(0, 11), max_size=30), st.sampled_from([0.0, 0.2, 1.0]))
def test_it_is_the_product_of_what_was_touched(places: list[int], recency: float) -> None:
    history = np.random.default_rng(3).standard_normal((12, 5)).astype(np.float32)
    kept = HistorySum(history, places[:4], recency=recency)
    for place in places[4:]:
        kept.add(place)
    counts = touched(Histories.of([places]), 12, recency=recency)
    np.testing.assert_allclose(kept.vector(), (counts @ history)[0], rtol=1e-5, atol=1e-6)
    assert sorted(kept.seen().tolist()) == sorted(set(places))


def test_an_item_beyond_the_catalogue_is_refused() -> None:
    for place in (-1, 12):
        with pytest.raises(ModelError, match="beyond"):
            HistorySum(np.zeros((12, 2), dtype=np.float32), [place])
