"""Words and pieces of words hashed into a fixed number of columns: no vocabulary to train, store or look up.

The sign of each n-gram's hash decides whether it counts up or down, so that n-grams which share a column cancel out in
inner products on average (Weinberger et al. 2009, section 2). How many texts an n-gram is in, for TF-IDF, is counted
in a table of hashes too, far larger than the columns: n-grams that share a place there count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from fedrec.config import TextSettings
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Progress, array_of, chunks, field_of
from fedrec.content.projection import unit_rows
from fedrec.content.text_grams import Grams, grams_of
from fedrec.content.text_lsa import inverse_frequency
from fedrec.content.text_words import tidy
from fedrec.errors import ContentError

PLACES = 2**18
"""Of the table of counts."""
BLOCK: Final = 1024
"""Texts that are counted at once: their n-grams take some 20 MB."""
_MOST = 2**16 - 1


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
    block = 4 * BLOCK

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
        tidied = [text for text in tidy(texts)[0] if text]
        counts, known = np.zeros(PLACES, np.int64), 0
        for part in chunks(len(tidied), BLOCK, None, "text"):
            kinds = grams_of(tidied[part])
            known += int((np.diff(kinds[0].counts.indptr) > 0).sum())
            counts += _with_place(kinds)
        if not known:
            raise ContentError("no text of the catalogue holds a word", action="Leave 'text' out of content.modalities")
        kept = np.minimum(counts, _MOST).astype(np.uint16)
        raw = cls(settings.dimension, known, kept, np.zeros(settings.dimension, np.float32))
        return cls(settings.dimension, known, kept, raw._centre_of(tidied).astype(np.float32))

    def _centre_of(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The mean of the texts' rows before centring; zeros where all rows are alike, and nothing would be left."""
        total, rows, alike = np.zeros(self.dimension), 0, None
        same = True
        for part in chunks(len(texts), BLOCK, None, "text"):
            found = self._rows(grams_of(texts[part]))
            found = found[found.any(axis=1)]
            if len(found):
                alike = found[0] if alike is None else alike
                same = same and bool(np.linalg.norm(found - alike, axis=1).max() < 1e-6)
            total += found.sum(axis=0)
            rows += len(found)
        return np.zeros_like(total) if same else total / rows

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
        for part in chunks(len(texts), BLOCK, progress, "text"):
            rows = self._rows(grams_of(texts[part]))
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

    def _rows(self, kinds: Sequence[Grams]) -> NDArray[np.float64]:
        """Texts before centring [texts, dimension], at unit norm; zeros where nothing is known."""
        idf: NDArray[np.float32] = self._idf  # type: ignore[attr-defined]
        rows = np.zeros((kinds[0].counts.shape[0], self.dimension))
        for kind in kinds:
            columns = ((kind.hashes & np.uint64(2**32 - 1)) % np.uint64(self.dimension)).astype(np.int64)
            signs = 1.0 - 2.0 * (kind.hashes >> np.uint64(63)).astype(np.float64)
            gram, text = kind.counts.indices, _text_of_each(kind.counts)
            weights = (1 + np.log(kind.counts.data)) * idf[_place(kind.hashes)][gram]
            norms = np.sqrt(np.bincount(text, weights**2, len(rows)))
            shares = signs[gram] * weights / np.maximum(norms, 1e-12)[text]
            rows += np.bincount(text * self.dimension + columns[gram], shares, rows.size).reshape(rows.shape)
        return unit_rows(rows)


def _text_of_each(counts: sparse.csr_matrix) -> NDArray[np.int64]:
    """The row of each entry."""
    return np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))


def _with_place(kinds: Sequence[Grams]) -> NDArray[np.int64]:
    """How many of the texts hold an n-gram with each place of the table: [`PLACES`]."""
    keys = [_text_of_each(kind.counts) * PLACES + _place(kind.hashes)[kind.counts.indices] for kind in kinds]
    return np.bincount(np.unique(np.concatenate(keys)) % PLACES, minlength=PLACES)


def _place(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """In the table of counts: other bits than those of column and sign."""
    return ((hashes >> np.uint64(32)) % np.uint64(PLACES)).astype(np.int64)
