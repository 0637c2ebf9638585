from __future__ import annotations

import copy
import dataclasses
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_cases import ITEMS, catalogue, scorer, table

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.errors import ModelError
from fedrec.ranking.explain import explain
from fedrec.ranking.speaking import speaking_events
from fedrec.ranking.topk import top_k, without_seen
from fedrec.users import Histories, OwnContent, UserBatch

PLACES = st.lists(st.integers(0, ITEMS - 1), max_size=6)
FULL = scorer(collaborative=table())


def known(history: list[int]) -> UserBatch:
    return UserBatch(Histories.of([history]))


@settings(max_examples=40)
@given(PLACES, PLACES)
def test_shares_are_parts_of_one(history: list[int], items: list[int]) -> None:
    told = explain(FULL, known(history), items)
    assert [one.item for one in told] == items
    scores = FULL.scores(Histories.of([history]))[0]
    for one in told:
        assert set(one.shares) == {"text", "image", "behaviour", "popularity"}
        assert min(one.shares.values()) >= 0 and sum(one.shares.values()) == pytest.approx(1)
        assert one.score == pytest.approx(scores[one.item], abs=1e-5)
        assert (one.nearest is None) == (not set(history) - {one.item})
        assert one.nearest is None or (one.nearest in history and one.nearest != one.item)


def test_a_release_of_one_part_gives_it_all() -> None:
    only = scorer(tower=False, collaborative=table(), weight=1.0, popularity=0.0)
    best = int(top_k(only.scores(Histories.of([[1, 2]])), 1)[0, 0])
    (told,) = explain(only, known([1, 2]), [best])
    assert told.shares == {"behaviour": 1.0, "popularity": 0.0}
    assert told.reason == f"Because you liked Film {told.nearest}: mostly what is liked together with it (100%)."


def test_a_modality_that_an_item_lacks_has_no_say_against_one_it_matches() -> None:
    features = catalogue()
    text = np.zeros((ITEMS, 6), np.float32)
    text[[3, 7]] = [0, 0, 5, 0, 0, 0]
    present = {"text": np.isin(np.arange(ITEMS), [3, 7]), "image": ~np.isin(np.arange(ITEMS), [3, 7])}
    ours = scorer(
        weight=0.0,
        popularity=0.0,
        features=dataclasses.replace(features, values={**features.values, "text": text}, present=present),
    )
    (told,) = explain(ours, known([3]), [7])
    assert told.shares["text"] == pytest.approx(1.0, abs=1e-6)
    assert told.nearest == 3
    assert told.reason == "Because you liked Film 3: mostly its text (100%)."


def test_the_nearest_is_the_largest_co_occurrence_without_a_tower() -> None:
    eye = np.eye(4, 4, dtype=np.float32)
    together = np.array([[0, 5, 1, 0], [5, 0, 0, 0], [1, 0, 0, 2], [0, 0, 2, 0]], np.float32)
    features = catalogue(4)
    ours = scorer(
        tower=False,
        weight=1.0,
        features=features,
        collaborative=CollaborativeFactors(eye, together, np.ones(4, np.float32)),
    )
    told = explain(ours, known([1, 3]), [0, 2, 1])
    assert [one.nearest for one in told] == [1, 3, 3]


def test_the_later_of_equals_is_the_nearest() -> None:
    ours = scorer(tower=False, weight=1.0, collaborative=CollaborativeFactors.empty(ITEMS))
    assert explain(ours, known([4, 9, 6]), [0])[0].nearest == 6


def test_someone_unknown_is_told_so() -> None:
    (told,) = explain(FULL, known([]), [2])
    assert told.nearest is None and told.reason.startswith("Without knowing you yet: mostly ")


def test_own_words_are_named_where_there_is_no_history() -> None:
    notes, none = OwnContent.of([np.ones((1, 6), np.float32)]), OwnContent.of([np.zeros((0, 5), np.float32)])
    (told,) = explain(FULL, UserBatch(Histories.of([[]]), notes=notes, photos=none), [2])
    assert told.reason.startswith("Because of what you wrote: ")
    photos = OwnContent.of([np.ones((1, 5), np.float32)])
    (told,) = explain(FULL, UserBatch(Histories.of([[]]), notes=notes, photos=photos), [2])
    assert told.reason.startswith("Because of what you wrote and photographed: ")


def test_an_item_without_a_title_is_named_by_its_id() -> None:
    (told,) = explain(FULL, known([0]), [2])
    assert told.reason.startswith("Because you liked i0: ")


def test_where_nothing_speaks_for_an_item_shares_still_sum_to_one() -> None:
    silent = scorer(tower=False, collaborative=None)
    (told,) = explain(silent, known([]), [2])
    assert sum(told.shares.values()) == pytest.approx(1) and told.score == 0
    worst = int(np.argmin(FULL.scores(Histories.of([[1]]))[0]))
    assert sum(explain(FULL, known([1]), [worst])[0].shares.values()) == pytest.approx(1)


def test_the_whole_way_from_history_to_reasons() -> None:
    history = Histories.of([[1, 2, 3]])
    top = top_k(without_seen(FULL.scores(history), history), 5)[0]
    told = explain(FULL, UserBatch(history), top)
    assert len(told) == 5 and not {1, 2, 3} & {one.item for one in told}
    assert [one.score for one in told] == sorted((one.score for one in told), reverse=True)


def test_what_cannot_be_explained_is_refused() -> None:
    with pytest.raises(ModelError, match="one user"):
        explain(FULL, UserBatch(Histories.of([[1], [2]])), [0])
    for places in ([ITEMS], [-1]):
        with pytest.raises(ModelError, match="items to explain"):
            explain(FULL, known([1]), places)


def test_a_reason_takes_no_pass_over_the_catalogues_features() -> None:
    # A list is waited for: of a large catalogue such a pass takes longer than ranking it.
    class Unread(dict[str, np.ndarray]):
        def items(self) -> NoReturn:
            raise AssertionError("the features of the whole catalogue were read")

    features = copy.copy(FULL.features)
    object.__setattr__(features, "values", Unread(FULL.features.values))
    watched = copy.copy(FULL)
    watched.features = features
    assert explain(watched, known([1, 3]), [0]) == explain(FULL, known([1, 3]), [0])
    with pytest.raises(AssertionError, match="whole catalogue"):
        speaking_events(watched, Histories.of([[1, 3]]), np.array([0]))
