"""n-grams of many texts at once are those that a plain count of each text gives."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedrec.content.text_grams import LETTERS, WORDS, Grams, grams_of

TEXTS = st.lists(st.text(alphabet="aAbcdé 'ſﬁß-_Ⅷ好", max_size=30) | st.text(max_size=8), max_size=8)


def plain_counts(text: str) -> tuple[Counter[int], Counter[int]]:
    """n-gram hash -> times, of words and of letters, one text and one n-gram at a time."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text).lower() if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", plain)
    of_words = Counter(" ".join(words[i : i + n]) for n in WORDS for i in range(len(words) - n + 1))
    of_letters: Counter[str] = Counter()
    for word in words:
        bounded = f"<{word}>"
        of_letters.update(bounded[i : i + n] for n in LETTERS for i in range(len(bounded) - n + 1))
    return hashed("w", of_words), hashed("l", of_letters)


def hashed(kind: str, grams: Counter[str]) -> Counter[int]:
    def number(gram: str) -> int:
        data = (kind + gram).encode("utf-8", "replace")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")

    return Counter({number(gram): times for gram, times in grams.items()})


def counts_of(grams: Grams, text: int) -> dict[int, float]:
    row = grams.counts[[text]]
    return dict(zip(grams.hashes[row.indices].tolist(), row.data.tolist(), strict=True))


@given(TEXTS)
def test_counts_are_those_of_each_text_alone(texts: list[str]) -> None:
    kinds = grams_of(texts)
    for place, text in enumerate(texts):
        for found, wanted in zip(kinds, plain_counts(text), strict=True):
            assert counts_of(found, place) == wanted


@given(TEXTS)
def test_a_texts_grams_have_one_order_whatever_the_others_are(texts: list[str]) -> None:
    for kind in grams_of(texts):
        assert (np.diff(kind.hashes.astype(object)) > 0).all()
        assert kind.counts.has_sorted_indices
