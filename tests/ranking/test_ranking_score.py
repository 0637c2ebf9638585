from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from ranking_cases import ITEMS, WIDTHS, catalogue, model, model_settings, scorer, table

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import CollaborativeSettings, ScoringSettings
from fedrec.errors import ModelError
from fedrec.model.adapter import Adapter
from fedrec.model.rows import ItemBatch, Rows
from fedrec.ranking.score import Scorer, behaviour_scores
from fedrec.ranking.standardise import log_popularity, standardised
from fedrec.users import Histories, OwnContent, UserBatch

HISTORIES = Histories.of([[0, 3, 5], [], [1, 2, 3, 4, 5, 6, 7, 8], [9, 9]])
NOTES = OwnContent.of(
    [np.ones((1, 6), np.float32), np.zeros((0, 6), np.float32), *[np.eye(6, dtype=np.float32)[:2]] * 2]
)
PHOTOS = OwnContent.of(
    [np.zeros((0, 5), np.float32), np.ones((2, 5), np.float32), *[np.eye(5, dtype=np.float32)[:1]] * 2]
)


def test_the_score_is_the_rule_by_hand() -> None:
    ours = scorer(collaborative=table(), weight=0.4, popularity=0.2)
    tower = Scorer.parts(ours, HISTORIES).tower
    behaviour = np.stack(
        [sum((table().history[j] @ table().candidate.T for j in sorted(set(one))), np.zeros(ITEMS)) for one in lists()]
    )
    spread = behaviour.std(axis=1, keepdims=True)
    z = (behaviour - behaviour.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    popular = np.log(table().popularity / table().popularity.mean() + 0.1)
    z_popular = (popular - popular.mean()) / popular.std()
    parts = ours.parts(HISTORIES)
    np.testing.assert_allclose(parts.behaviour, 0.4 * z, atol=1e-4)
    np.testing.assert_allclose(parts.popularity, np.tile(0.2 * z_popular, (4, 1)), atol=1e-4)
    np.testing.assert_allclose(ours.scores(HISTORIES), tower + 0.4 * z + 0.2 * z_popular, atol=1e-4)


def test_the_tower_is_the_models_own_forward_pass() -> None:
    ours = scorer(weight=0.0, popularity=0.0)
    settings = model_settings()
    for user, one in enumerate(lists()):
        if not one:
            continue
        kept = np.array(one[-settings.history :])
        rows = Rows(
            history=batch(kept),
            notes=own("text", NOTES, user),
            photos=own("image", PHOTOS, user),
            candidates=batch(np.arange(ITEMS)),
            positives=1,
            candidate_mask=torch.ones((1, ITEMS), dtype=torch.bool),
        )
        with torch.inference_mode():
            logits = model()(rows).numpy()
        mine = ours.scores(HISTORIES, NOTES, PHOTOS)[user]
        np.testing.assert_allclose(mine, standardised(logits)[0], atol=1e-3)


def test_notes_and_photos_change_the_tower_only_where_there_are_some() -> None:
    ours = scorer(weight=0.0)
    plain, told = ours.scores(HISTORIES), ours.scores(HISTORIES, NOTES, PHOTOS)
    assert not np.allclose(plain[0], told[0]) and not np.allclose(plain[1], told[1])
    assert not plain[1].any()
    none = OwnContent.of([np.zeros((0, 6), np.float32)] * 4)
    np.testing.assert_allclose(ours.scores(HISTORIES, none), plain, atol=1e-6)


def test_an_adapter_adds_to_the_user_as_in_training() -> None:
    ours = scorer(weight=0.0)
    assert ours.tower is not None
    rng = np.random.default_rng(0)
    adapter = rng.normal(size=(4, 8)).astype(np.float32)
    found = ours.scores(HISTORIES, adapter=adapter)
    vectors = ours.tower.vectors()
    places, mask = HISTORIES.last(5)
    users = model().encode_user(vectors[torch.from_numpy(places)], torch.from_numpy(mask))
    for user in range(4):
        module = Adapter(torch.from_numpy(adapter[user : user + 1]))
        with torch.no_grad():
            wanted = (module(users[user : user + 1]) @ vectors.T).numpy()
        np.testing.assert_allclose(found[user], standardised(wanted)[0], atol=1e-4)


def test_the_tower_reads_the_last_events_and_behaviour_all() -> None:
    long, short = Histories.of([[9, 8, 1, 2, 3, 4, 5]]), Histories.of([[1, 2, 3, 4, 5]])
    towers = scorer(weight=0.0)
    np.testing.assert_array_equal(towers.scores(long), towers.scores(short))
    both = scorer(weight=1.0, collaborative=table())
    assert not np.allclose(both.scores(long), both.scores(short))


def test_blocks_give_the_same_as_one_call() -> None:
    ours = scorer(collaborative=table())
    known = UserBatch(HISTORIES, notes=NOTES, photos=PHOTOS, adapter=np.ones((4, 8), np.float32))
    whole = ours.scores(HISTORIES, NOTES, PHOTOS, np.ones((4, 8), np.float32))
    found = list(ours.blocks(known, size=3))
    assert [places.tolist() for places, _ in found] == [[0, 1, 2], [3]]
    np.testing.assert_allclose(np.concatenate([scores for _, scores in found]), whole, atol=1e-5)


def test_lists_and_flat_histories_score_the_same() -> None:
    ours = scorer(collaborative=table())
    np.testing.assert_array_equal(ours.scores([np.array(one) for one in lists()]), ours.scores(HISTORIES))


def test_parts_that_a_release_lacks_count_zero() -> None:
    parts = scorer(tower=False, collaborative=None, weight=0.5).parts(HISTORIES)
    assert not parts.total.any()
    empty = scorer(tower=False, collaborative=CollaborativeFactors.empty(ITEMS), weight=0.5, popularity=1.0).parts(
        HISTORIES
    )
    assert not empty.total.any()


def test_a_masked_modality_is_as_if_it_were_nowhere() -> None:
    features = catalogue()
    blind = dataclasses.replace(features, present={**features.present, "text": np.zeros(ITEMS, np.bool_)})
    ours, other = scorer(weight=0.0), scorer(weight=0.0, features=blind)
    known = UserBatch(HISTORIES, photos=PHOTOS)
    np.testing.assert_allclose(ours.tower_part(known, without="text"), other.tower_part(known), atol=1e-5)
    with pytest.raises(ModelError, match="modality"):
        ours.tower_part(known, without="audio")


@given(arrays(np.float32, (2, 6), elements=st.floats(-1e3, 1e3, width=32)), st.floats(0.5, 100), st.floats(-100, 100))
def test_standardising_forgets_scale_and_shift(scores: NDArray[np.float32], scale: float, shift: float) -> None:
    found = standardised(scores)
    for row, given_ in zip(found, scores, strict=True):
        if not row.any():
            assert given_.std() <= 1e-5 * np.abs(given_).max()
            continue
        assert abs(float(row.mean())) < 1e-2 and float(row.std()) == pytest.approx(1, abs=1e-2)
        if given_.std() > 1e-2 * np.abs(given_).max() and given_.std() > 1:
            again = standardised((given_ * np.float32(scale) + np.float32(shift))[None])
            np.testing.assert_allclose(again[0], row, atol=1e-2)


@pytest.mark.parametrize("size", [8.396819e-23, 1e-30, 1e-37, 1e30])
def test_rows_of_any_size_are_brought_to_deviation_one(size: float) -> None:
    (row,) = standardised(np.array([[size, 0, 0, 0, 0, 0]], np.float32))
    assert float(row.std()) == pytest.approx(1, abs=1e-5) and abs(float(row.mean())) < 1e-6


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -3.3])
def test_a_flat_row_becomes_zero(value: float) -> None:
    assert not standardised(np.full((1, 1001), value, np.float32)).any()
    assert standardised(np.zeros((2, 0), np.float32)).shape == (2, 0)


def test_log_popularity_forgets_the_unit_and_bears_zeros() -> None:
    counts = np.array([0.0, 1.0, 7.0], np.float32)
    np.testing.assert_allclose(log_popularity(counts), log_popularity(counts * 50), atol=1e-5)
    assert np.isfinite(log_popularity(counts)).all() and np.all(np.diff(log_popularity(counts)) > 0)
    assert not log_popularity(np.zeros(3, np.float32)).any()


def test_an_item_touched_twice_counts_once_in_behaviour() -> None:
    once = behaviour_scores(table(), Histories.of([[4, 2]]))
    np.testing.assert_allclose(behaviour_scores(table(), Histories.of([[2, 4, 4]])), once, atol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="3 items"):
        scorer(collaborative=CollaborativeFactors.empty(3))
    features = catalogue()
    blind = dataclasses.replace(features, values={"text": features.values["text"]})
    with pytest.raises(ModelError, match="lack a modality"):
        scorer(features=blind)
    ours = scorer()
    with pytest.raises(ModelError, match="beyond"):
        ours.scores(Histories.of([[ITEMS]]))
    for adapter in (np.zeros((4, 7), np.float32), np.full((4, 8), np.nan, np.float32)):
        with pytest.raises(ModelError, match="adapter"):
            ours.scores(HISTORIES, adapter=adapter)
    with pytest.raises(ModelError, match="text"):
        ours.scores(HISTORIES, OwnContent.of([np.zeros((1, 9), np.float32)] * 4))


def test_features_that_cannot_be_written_to_are_read() -> None:
    features = catalogue()
    for array in (*features.values.values(), *features.present.values()):
        array.flags.writeable = False
    np.testing.assert_array_equal(scorer(features=features).scores(HISTORIES), scorer().scores(HISTORIES))


@pytest.mark.parametrize(
    "change",
    [
        {"candidate": np.zeros((4, 3), np.float32)},
        {"history": np.zeros(4, np.float32)},
        {"popularity": np.zeros(5, np.float32)},
        {"popularity": np.array([0, 0, 0, -1], np.float32)},
        {"history": np.full((4, 2), np.inf, np.float32)},
        {"popularity": np.full(4, np.nan, np.float32)},
    ],
)
def test_a_behaviour_table_that_makes_no_sense_is_refused(change: dict[str, NDArray[np.float32]]) -> None:
    with pytest.raises(ModelError):
        dataclasses.replace(table(items=4, rank=2), **change)


def test_a_behaviour_table_survives_as_arrays() -> None:
    arrays_ = table().arrays()
    again = CollaborativeFactors.from_arrays(arrays_)
    assert again.rank == 4 and again.items == ITEMS
    for name, array in arrays_.items():
        np.testing.assert_array_equal(array, getattr(again, name))
    with pytest.raises(ModelError, match="made of"):
        CollaborativeFactors.from_arrays({"history": arrays_["history"]})


def test_settings_of_weight_one_leave_the_tower_out() -> None:
    settings = CollaborativeSettings(scoring=ScoringSettings(weight=1.0, popularity_weight=0.0))
    ours = Scorer(
        model=model(), features=catalogue(), collaborative=None, settings=settings, model_settings=model_settings()
    )
    assert not ours.scores(HISTORIES).any()


def lists() -> list[list[int]]:
    return [HISTORIES.items[a:b].tolist() for a, b in zip(HISTORIES.indptr[:-1], HISTORIES.indptr[1:], strict=True)]


def batch(places: NDArray[np.int64]) -> ItemBatch:
    features = catalogue()
    return ItemBatch(
        values={name: torch.from_numpy(np.asarray(features.values[name][places])[None]) for name in WIDTHS},
        present={name: torch.from_numpy(features.present[name][places][None]) for name in WIDTHS},
        mask=torch.ones((1, len(places)), dtype=torch.bool),
    )


def own(modality: str, contents: OwnContent, user: int) -> ItemBatch | None:
    values = contents.values[contents.indptr[user] : contents.indptr[user + 1]]
    if not len(values):
        return None
    there = torch.ones((1, len(values)), dtype=torch.bool)
    return ItemBatch({modality: torch.from_numpy(values[None])}, {modality: there}, there)


def test_newer_events_count_more_where_recency_is_set() -> None:
    histories, ours = Histories.of([[4, 2, 7], [5], []]), table()
    got = behaviour_scores(ours, histories, recency=0.5)
    parts = ours.history.astype(float) @ ours.candidate.T.astype(float)
    expected = 3**-0.5 * parts[4] + 2**-0.5 * parts[2] + parts[7]
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[1], parts[5], rtol=1e-5, atol=1e-6)
    assert not got[2].any()


def test_an_item_touched_again_counts_once_as_of_its_last_touch() -> None:
    ours = table()
    again = behaviour_scores(ours, Histories.of([[3, 6, 3]]), recency=1.0)
    parts = ours.history.astype(float) @ ours.candidate.T.astype(float)
    np.testing.assert_allclose(again[0], parts[3] + parts[6] / 2, rtol=1e-5, atol=1e-6)


def test_a_discount_divides_a_candidate_by_its_popularity() -> None:
    ours = table()
    assert ours.discounted(0.0) is ours
    less = ours.discounted(0.5)
    share = ours.popularity.astype(float) / ours.popularity.mean(dtype=float) + 0.1
    np.testing.assert_allclose(less.candidate, ours.candidate / np.sqrt(share)[:, None], rtol=1e-5)
    np.testing.assert_array_equal(less.history, ours.history)
    nobody = CollaborativeFactors(ours.history, ours.candidate, np.zeros(ours.items, np.float32))
    assert nobody.discounted(0.5) is nobody
