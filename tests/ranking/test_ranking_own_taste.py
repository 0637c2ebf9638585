"""Own notes and photos score the catalogue without a tower: by the rule, and for those only who have some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ranking_cases import ITEMS, WIDTHS, catalogue, table

from fedrec.config import TextSettings
from fedrec.content.own_content import encode_own
from fedrec.content.text_lsa import LsaText
from fedrec.errors import ModelError
from fedrec.ranking.own_taste import OwnTaste
from fedrec.ranking.standardise import standardised
from fedrec.release.contents import CatalogueItems
from fedrec.users import OwnContent

FEATURES = catalogue()
RNG = np.random.default_rng(7)
NOTES = OwnContent.of([RNG.normal(size=(2, 6)).astype(np.float32), np.zeros((0, 6), np.float32), np.ones((1, 6), "f4")])


def taste(features: CatalogueItems = FEATURES, modality: str = "text", together: bool = False) -> OwnTaste:
    found = OwnTaste.of(features, modality, table() if together else None)
    assert found is not None
    return found


def by_hand(notes: np.ndarray) -> np.ndarray:
    here = FEATURES.present["text"]
    values = FEATURES.values["text"].astype(np.float64)
    unit = np.array([v / np.linalg.norm(v) if there else 0 * v for v, there in zip(values, here, strict=True)])
    centred = np.array([v - unit[here].mean(axis=0) if there else 0 * v for v, there in zip(unit, here, strict=True)])
    centred = np.array([v / np.linalg.norm(v) if there else 0 * v for v, there in zip(centred, here, strict=True)])
    moment = sum(np.outer(v, v) for v in centred) / len(centred)
    q = sum(one / np.linalg.norm(one) for one in notes.astype(np.float64))
    q /= np.linalg.norm(q)
    return np.array(
        [q @ moment @ v / np.sqrt(v @ moment @ v) if there else 0.0 for v, there in zip(centred, here, strict=True)]
    )


def test_likeness_is_the_rule_by_hand() -> None:
    likeness = np.array([by_hand(NOTES.values[:2]), np.zeros(ITEMS), by_hand(NOTES.values[2:])], np.float32)
    np.testing.assert_allclose(taste().scores(NOTES), standardised(likeness), atol=1e-4)


def test_what_is_used_with_what_is_alike_counts_as_much() -> None:
    alike = taste().scores(NOTES)
    together = standardised(np.asarray(alike @ table().history @ table().candidate.T, np.float32))
    np.testing.assert_allclose(taste(together=True).scores(NOTES), standardised(alike + together), atol=1e-4)


def test_a_user_without_a_piece_gets_zeros() -> None:
    for together in (False, True):
        found = taste(together=together).scores(NOTES)
        assert not found[1].any() and found[[0, 2]].any(axis=1).all()


def test_the_size_of_a_piece_does_not_count_and_its_author_stands_alone() -> None:
    found = taste(together=True).scores(NOTES)
    np.testing.assert_allclose(taste(together=True).scores(replace(NOTES, values=NOTES.values * 9)), found, atol=1e-4)
    np.testing.assert_allclose(taste(together=True).scores(NOTES.take(np.array([2])))[0], found[2], atol=1e-5)


def test_what_is_no_vector_or_is_not_there_is_not_likened() -> None:
    ids = replace(FEATURES, values={**FEATURES.values, "text": np.ones((ITEMS, 6), np.int32)})
    assert OwnTaste.of(ids, "text", None) is None and OwnTaste.of(FEATURES, "audio", None) is None
    pixels = replace(FEATURES, values={**FEATURES.values, "image": np.ones((ITEMS, 3, 4, 4), np.float32)})
    assert OwnTaste.of(pixels, "image", None) is None


def test_a_catalogue_without_a_single_present_item_says_nothing() -> None:
    bare = replace(FEATURES, present={name: np.zeros(ITEMS, np.bool_) for name in WIDTHS})
    assert not taste(bare).scores(NOTES).any()


def test_pieces_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match="width 6"):
        taste().scores(OwnContent.of([np.ones((1, 5), np.float32)]))


def test_a_note_of_few_words_finds_its_items_where_the_text_encoder_has_many_columns() -> None:
    # All 60 of a kind are to be found, most of which share no word with the note: many even columns lose them.
    rng = np.random.default_rng(0)
    kinds = [[f"word{kind}x{i}" for i in range(12)] for kind in range(4)]
    rare = [f"rare{i}" for i in range(400)]
    texts = [" ".join([*rng.choice(kinds[i % 4], 5), *rng.choice(rare, 12)]) for i in range(240)]
    encoder = LsaText.fit(texts, TextSettings(dimension=200, vocabulary=2_000))
    encoded = encoder.encode(texts)
    notes = encode_own(encoder, [[" ".join(kinds[kind][:2])] for kind in range(4)])
    scores = OwnTaste(encoded.values, encoded.present, None).scores(notes)
    plain = notes.values @ encoded.values.T

    def right(found: np.ndarray) -> float:
        best = np.argsort(-found, axis=1)[:, :60]
        return float((best % 4 == np.arange(4)[:, None]).mean())

    assert right(scores) > right(plain) + 0.05
