"""A score weighed by evidence: newcomers get popularity and what they made, parts add up, and off is as without."""

from __future__ import annotations

import numpy as np
import pytest
from ranking_cases import ITEMS, catalogue, model, model_settings, scorer, table

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import CollaborativeSettings, ScoringSettings
from fedrec.ranking.explain import explain
from fedrec.ranking.score import Scorer, SharedParts
from fedrec.users import Histories, OwnContent, UserBatch

RNG = np.random.default_rng(3)
NONE = Histories.of([[]])
NOTE = OwnContent.of([np.asarray(RNG.normal(size=(1, 6)), np.float32)])
PHOTO = OwnContent.of([np.asarray(RNG.normal(size=(2, 5)), np.float32)])


def weighed(*, tower: bool = False, weight: float = 1.0, popularity: float = 0.0, reads: bool = False) -> Scorer:
    scoring = ScoringSettings(weight=weight, popularity_weight=popularity, evidence=True)
    return Scorer(
        model=model(model_settings(notes=reads, photos=reads)) if tower else None,
        features=catalogue(),
        collaborative=table(),
        settings=CollaborativeSettings(scoring=scoring),
        model_settings=model_settings(notes=reads, photos=reads),
    )


def order(scores: np.ndarray) -> list[int]:
    return [int(place) for place in np.argsort(-scores, kind="stable")]


def test_somebody_new_without_notes_gets_popularity() -> None:
    for one in (weighed(), weighed(popularity=0.7), weighed(tower=True, weight=0.5)):
        (found,) = one.scores(NONE)
        assert order(found) == order(table().popularity)


def test_somebody_new_with_a_note_gets_both() -> None:
    parts = weighed().parts(NONE, notes=NOTE, photos=PHOTO)
    assert parts.notes is not None and parts.photos is not None
    assert parts.notes.any() and parts.photos.any() and parts.popularity.any() and not parts.behaviour.any()
    assert order(parts.total[0]) != order(table().popularity)


def test_notes_say_nothing_of_those_who_have_none() -> None:
    both = OwnContent.of([NOTE.values, np.zeros((0, 6), np.float32)])
    history = Histories.of([[1, 2], [1, 2]])
    found = weighed().scores(history, notes=both)
    np.testing.assert_allclose(found[1], weighed().scores(Histories.of([[1, 2]]))[0], atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_the_more_events_the_more_behaviour_says_and_the_less_a_note() -> None:
    lists = [[0], [0, 5, 9], list(range(0, 20, 2))]
    notes = OwnContent.of([NOTE.values] * 3)
    parts = weighed().parts(Histories.of(lists), notes=notes)
    assert parts.notes is not None
    shares = parts.notes.std(axis=1) / (parts.notes.std(axis=1) + parts.behaviour.std(axis=1))
    assert (np.diff(shares) < 0).all()


def test_a_tower_that_reads_notes_speaks_before_the_first_event() -> None:
    read = weighed(tower=True, weight=0.5, reads=True).parts(NONE, notes=NOTE)
    not_read = weighed(tower=True, weight=0.5).parts(NONE, notes=NOTE)
    assert read.tower.any() and not not_read.tower.any()


def test_parts_add_up_and_behaviour_goes_in_as_it_was() -> None:
    history = Histories.of([[1, 2, 3], []])
    notes = OwnContent.of([NOTE.values] * 2)
    plain = scorer(tower=True, collaborative=table(), weight=0.6, popularity=0.0).parts(history)
    parts = weighed(tower=True, weight=0.6, reads=True).parts(history, notes=notes)
    assert parts.scale is not None and parts.notes is not None and parts.photos is not None
    np.testing.assert_allclose(parts.behaviour, parts.scale * plain.behaviour, atol=1e-5)
    np.testing.assert_allclose(
        parts.total, parts.tower + parts.behaviour + parts.popularity + parts.notes + parts.photos, atol=1e-6
    )


@pytest.mark.parametrize("history", [[], [4], [1, 2, 3, 4, 5, 6]])
def test_explanations_add_up_and_name_what_the_user_made(history: list[int]) -> None:
    ours = weighed(tower=True, weight=0.5, reads=True)
    known = UserBatch(Histories.of([history]), notes=NOTE, photos=PHOTO)
    best = order(ours.parts_of(known).total[0])
    told = explain(ours, known, best)
    scores = ours.parts_of(known).total[0]
    for one in told:
        assert set(one.shares) == {"text", "image", "behaviour", "popularity", "notes", "photos"}
        assert sum(one.shares.values()) == pytest.approx(1) and min(one.shares.values()) >= 0
        assert one.score == pytest.approx(scores[one.item], abs=1e-4)
    (bare,) = explain(weighed(), UserBatch(Histories.of([history])), best[:1])
    assert set(bare.shares) == {"behaviour", "popularity"}


def test_a_newcomer_is_told_that_it_was_their_note() -> None:
    quiet = CollaborativeFactors.empty(ITEMS)
    ours = Scorer(
        model=None,
        features=catalogue(),
        collaborative=quiet,
        settings=CollaborativeSettings(scoring=ScoringSettings(weight=1.0, evidence=True)),
        model_settings=model_settings(),
    )
    known = UserBatch(NONE, notes=NOTE)
    (told,) = explain(ours, known, order(ours.parts_of(known).total[0])[:1])
    assert told.reason == "Because of what you wrote: mostly what you wrote (100%)."


def test_whoever_has_met_everything_is_still_ranked() -> None:
    found = weighed(tower=True, weight=0.5).scores(Histories.of([np.arange(ITEMS), []]), notes=None)
    assert np.isfinite(found).all()


def test_off_nothing_changes() -> None:
    history, notes = Histories.of([[1, 2]]), OwnContent.of([NOTE.values])
    parts = scorer(tower=False, collaborative=table(), weight=1.0).parts(history, notes=notes)
    assert parts.notes is None and parts.photos is None and parts.scale is None


def test_one_ranking_for_all_is_not_weighed_and_another_reading_is_by_its_own_settings() -> None:
    ours, notes = weighed(popularity=1.0), NOTE
    alike = CollaborativeSettings(scoring=ScoringSettings(personal=False, popularity_weight=1.0, evidence=True))
    same = ours.read_as(table(), ours.settings, SharedParts())
    other = ours.read_as(table(), alike, SharedParts())
    history = Histories.of([[1, 2]])
    np.testing.assert_allclose(same.scores(history, notes=notes), ours.scores(history, notes=notes), atol=1e-5)
    assert other.parts(history, notes=notes).notes is None
    assert order(other.scores(history, notes=notes)[0]) == order(table().popularity)
