from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.config import TextSettings
from fedrec.content.registry import encoder_to_bytes
from fedrec.content.text_grams import grams_of
from fedrec.content.text_hashed import PLACES, HashedText
from fedrec.testing.encoders import TEXTS, EncoderContract

SETTINGS = TextSettings(encoder="hashed", dimension=256)


class TestHashedContract(EncoderContract):
    content, missing = TEXTS, "  "

    @staticmethod
    def fit() -> HashedText:
        return HashedText.fit(TEXTS, SETTINGS)

    @staticmethod
    def fit_otherwise() -> HashedText:
        return HashedText.fit(TEXTS, TextSettings(encoder="hashed", dimension=255))

    @staticmethod
    def fit_on_nothing() -> HashedText:
        return HashedText.fit(["", " ", "..."], SETTINGS)


@pytest.fixture(scope="module")
def encoder() -> HashedText:
    return HashedText.fit(TEXTS, SETTINGS)


def test_texts_about_the_same_are_alike(encoder: HashedText) -> None:
    values = encoder.encode(TEXTS).values
    alike = values @ values.T
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    same = np.kron(np.eye(3), np.ones((3, 3))).astype(bool) & ~np.eye(9, dtype=bool)
    apart = ~same & ~np.eye(9, dtype=bool)
    assert alike[same].mean() > alike[apart].mean() + 0.15


def test_a_word_never_seen_is_known_by_its_letters(encoder: HashedText) -> None:
    """Misspelt and inflected words are near what they come from; a word of other letters is not."""
    ghost, misspelt, other = encoder.encode(["ghost", "ghosts", "wedding"]).values
    assert ghost @ misspelt > 0.3 + ghost @ other


def test_case_accents_and_punctuation_do_not_matter(encoder: HashedText) -> None:
    one, other = encoder.encode(["Dark Cellar: a ghost!", "dárk cellar, A GHOST"]).values
    np.testing.assert_array_equal(one, other)


def test_signs_keep_inner_products_on_average() -> None:
    """Hashed into few columns, the inner product of two texts without a common n-gram is around zero, not above."""
    words = [f"{chr(97 + i // 26)}{chr(97 + i % 26)}" * 3 for i in range(200)]
    texts = [" ".join(words[10 * i : 10 * i + 10]) for i in range(20)]
    encoder = HashedText.fit(texts, TextSettings(encoder="hashed", dimension=64))
    rows = encoder._rows(grams_of(texts))
    apart = (rows @ rows.T)[~np.eye(20, dtype=bool)]
    assert abs(apart.mean()) < 0.05
    assert 0.03 < apart.std() < 0.25  # about 64^-1/2


def test_counts_are_of_texts_not_of_words() -> None:
    encoder = HashedText.fit(["ship ship ship", "ship", "sea"], SETTINGS)
    assert encoder.texts == 3 and encoder.counts.max() == 2


def test_what_is_stored_does_not_grow_with_the_texts() -> None:
    few = HashedText.fit(TEXTS, SETTINGS)
    many = HashedText.fit([f"{text} number{place}" for place in range(30) for text in TEXTS], SETTINGS)
    assert abs(len(encoder_to_bytes(many)) - len(encoder_to_bytes(few))) < 64
    assert len(encoder_to_bytes(few)) < 2.1 * PLACES


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_encoded(encoder: HashedText, text: str) -> None:
    got = encoder.encode([text])
    norm = float(np.linalg.norm(got.values[0]))
    assert norm == pytest.approx(1, abs=1e-4) if got.present[0] else norm == 0
