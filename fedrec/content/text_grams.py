"""n-grams of words and letters in many texts at once, by their hashes.

A text's letter n-grams are those of its words, so they are counted by a product of two sparse matrices: how often each
word is in each text, and how often each n-gram is in each word.  A word is cut up and hashed once for all texts.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

WORDS, LETTERS = (1, 2), (3, 4, 5)
"""Lengths of n-grams."""
_WORD: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True, eq=False)
class Grams:
    """The n-grams of one kind in some texts.

    ``counts``: float64 [texts, n-grams], sparse, how often each is in each text, by columns within a row.  ``hashes``:
    uint64 [n-grams], rising, so that a text's n-grams have the same order whatever the other texts are.
    """

    counts: sparse.csr_matrix
    hashes: NDArray[np.uint64]


def grams_of(texts: Sequence[str]) -> tuple[Grams, Grams]:
    """Of words, one and two beside each other, and of letters, three to five within a word and its two bounds."""
    cut = [_WORD.findall(_plain(text)) for text in texts]
    pairs = [[*words, *(f"{one} {other}" for one, other in pairwise(words))] for words in cut]
    return _words(pairs), _letters(cut)


def _plain(text: str) -> str:
    """Lower case, without accents, compatible characters as one."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text).lower() if not unicodedata.combining(c))


def _words(grams: Sequence[Sequence[str]]) -> Grams:
    counts, known = _counted(grams)
    return _by_hash(counts, np.fromiter((_hash("w" + gram) for gram in known), np.uint64, len(known)))


def _letters(words: Sequence[Sequence[str]]) -> Grams:
    counts, known = _counted(words)
    cut = [_letter_hashes(word) for word in known]
    hashes = np.concatenate([np.zeros(0, np.uint64), *cut])
    pointers = np.concatenate([[0], np.cumsum([len(one) for one in cut])]).astype(np.int64)
    of_word = sparse.csr_matrix((np.ones(len(hashes)), np.arange(len(hashes)), pointers), (len(known), len(hashes)))
    found = _by_hash(of_word, hashes)
    product = sparse.csr_matrix(counts @ found.counts)
    product.sort_indices()
    return Grams(product, found.hashes)


def _counted(grams: Sequence[Sequence[str]]) -> tuple[sparse.csr_matrix, list[str]]:
    """How often each n-gram is in each text, and the n-grams by column."""
    places: dict[str, int] = {}
    columns = [places.setdefault(gram, len(places)) for of_text in grams for gram in of_text]
    pointers = np.concatenate([[0], np.cumsum([len(of_text) for of_text in grams])]).astype(np.int64)
    counts = sparse.csr_matrix(
        (np.ones(len(columns)), np.array(columns, np.int64), pointers), (len(grams), len(places))
    )
    counts.sum_duplicates()
    return counts, list(places)


def _by_hash(counts: sparse.csr_matrix, hashes: NDArray[np.uint64]) -> Grams:
    """Columns put in the order of their hashes; those of one hash become one."""
    rising, place = np.unique(hashes, return_inverse=True)
    columns = place[counts.indices]
    moved = sparse.csr_matrix((counts.data, columns, counts.indptr), (counts.shape[0], len(rising)))
    moved.sum_duplicates()
    return Grams(moved, rising)


@lru_cache(maxsize=2**16)
def _letter_hashes(word: str) -> NDArray[np.uint64]:
    bounded = f"<{word}>"
    grams = [bounded[start : start + n] for n in LETTERS for start in range(len(bounded) - n + 1)]
    return np.fromiter((_hash("l" + gram) for gram in grams), np.uint64, len(grams))


@lru_cache(maxsize=2**17)
def _hash(gram: str) -> int:
    return int.from_bytes(hashlib.blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest(), "little")
