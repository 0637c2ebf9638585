"""Words and pieces of words hashed into a fixed number of columns: no vocabulary to train, store or look up.

The sign of each n-gram's hash decides whether it counts up or down, so that n-grams which share a column cancel out in
inner products on average (Weinberger et al. 2009, section 2). How many texts an n-gram is in, for TF-IDF, is counted
in a table of hashes too, far larger than the columns: n-grams that share a place there count as one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrec.config import TextSettings
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Progress, array_of, chunks, field_of
from fedrec.content.projection import unit_rows
from fedrec.content.text_lsa import inverse_frequency
from fedrec.content.text_words import tidy
from fedrec.errors import ContentError

PLACES = 2**18
"""Of the table of counts."""
WORDS, LETTERS = (1, 2), (3, 4, 5)
"""Lengths of n-grams."""
_WORD = re.compile(r"[^\W_]+")
_MOST = 2**16 - 1
Hashed = tuple[NDArray[np.uint64], NDArray[np.float64]]
"""Hashes of the n-grams of one kind in one text, and how often each occurs."""


@dataclass(frozen=True, eq=False)
class HashedText(Encoder[str]):
    """Text to a unit vector of exactly ``dimension`` columns, or to zeros where it holds no known n-gram.

    n-grams of one and two words, and of three to five letters within a word, weigh (1 + log tf) idf; both kinds
    together weigh the same. Rows are less ``centre``, the catalogue's mean, as for `LsaText`. Some hundred columns are
    needed before n-grams stop getting in each other's way.

    ``texts``: how many were counted; ``counts``: uint16 [`PLACES`], of these, how many hold an n-gram with that place.
    """

    modality: ClassVar[str] = "text"
    kind: ClassVar[str] = "hashed"

    dimension: int
    texts: int
    counts: NDArray[np.uint16]
    centre: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_idf", inverse_frequency(self.counts.astype(np.int64), self.texts))

    @classmethod
    def fit(cls, texts: Sequence[str], settings: TextSettings) -> HashedText:
        """Count the catalogue's texts; empty ones are left out.

        Raises:
            ContentError: no text holds a word.
        """
        hashed = [found for text in tidy(texts)[0] if len((found := _hashed(text))[0][0])]
        if not hashed:
            raise ContentError("no text of the catalogue holds a word", action="Leave 'text' out of content.modalities")
        counts = np.zeros(PLACES, np.int64)
        for kinds in hashed:
            counts[np.unique(np.concatenate([_place(hashes) for hashes, _ in kinds]))] += 1
        kept = np.minimum(counts, _MOST).astype(np.uint16)
        raw = cls(settings.dimension, len(hashed), kept, np.zeros(settings.dimension, np.float32))
        rows = np.stack([raw._row(kinds) for kinds in hashed])
        centre = rows[rows.any(axis=1)].mean(axis=0)
        if np.linalg.norm(rows - centre, axis=1).max() < 1e-6:
            centre = np.zeros_like(centre)
        return cls(settings.dimension, len(hashed), kept, centre.astype(np.float32))

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        return f"text-hashed.1 dimension={self.dimension}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(columns,)"""
        return (self.dimension,)

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        """Encode texts; see `Encoder.encode`."""
        texts, problems = tidy(batch)
        out = self.empty(len(texts))
        for part in chunks(len(texts), 256, progress, "text"):
            rows = np.array([self._row(_hashed(text)) for text in texts[part]])
            out.present[part] = rows.any(axis=1)
            out.values[part] = np.where(out.present[part, None], unit_rows(rows - self.centre), 0.0)
        return Encoded(out.values, out.present, problems)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        return {"counts": self.counts, "centre": self.centre}, {"dimension": self.dimension, "texts": self.texts}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> HashedText:
        """See `Encoder.from_state`."""
        dimension, texts = field_of(meta, "dimension", int), field_of(meta, "texts", int)
        if dimension < 1 or texts < 1:
            raise ContentError("a saved encoder's settings are damaged", action="Build the features again")
        counts = array_of(arrays, "counts", (PLACES,), np.uint16)
        return cls(dimension, texts, counts, array_of(arrays, "centre", (dimension,)))

    def _row(self, kinds: Sequence[Hashed]) -> NDArray[np.float64]:
        """One text before centring, at unit norm; zeros where nothing is known."""
        row = np.zeros(self.dimension)
        idf: NDArray[np.float32] = self._idf  # type: ignore[attr-defined]
        for hashes, times in kinds:
            weights = (1 + np.log(times)) * idf[_place(hashes)]
            columns = (hashes & np.uint64(2**32 - 1)) % np.uint64(self.dimension)
            signs = 1.0 - 2.0 * (hashes >> np.uint64(63)).astype(np.float64)
            norm = max(float(np.linalg.norm(weights)), 1e-12)
            row += np.bincount(columns.astype(np.int64), signs * weights / norm, self.dimension)
        found: NDArray[np.float64] = unit_rows(row[None])[0]
        return found


def _place(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """In the table of counts: other bits than those of column and sign."""
    return ((hashes >> np.uint64(32)) % np.uint64(PLACES)).astype(np.int64)


def _hashed(text: str) -> tuple[Hashed, Hashed]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text).lower() if not unicodedata.combining(c))
    words = _WORD.findall(plain)
    of_words = Counter(" ".join(words[i : i + n]) for n in WORDS for i in range(len(words) - n + 1))
    of_letters: Counter[str] = Counter()
    for word in words:
        bounded = f"<{word}>"
        of_letters.update(bounded[i : i + n] for n in LETTERS for i in range(len(bounded) - n + 1))
    return _counted("w", of_words), _counted("l", of_letters)


def _counted(kind: str, grams: Counter[str]) -> Hashed:
    hashes = np.fromiter((_hash(kind + gram) for gram in grams), np.uint64, len(grams))
    return hashes, np.fromiter(grams.values(), np.float64, len(grams))


@lru_cache(maxsize=2**17)
def _hash(gram: str) -> int:
    return int.from_bytes(hashlib.blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest(), "little")
