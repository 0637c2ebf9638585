"""Latent semantic analysis: words weighted by TF-IDF, reduced by a truncated SVD (Deerwester et al. 1990).

Small, quick, needs no download, and works on a device for the words of its user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fedrec.config import TextSettings
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Progress, array_of, chunks, field_of
from fedrec.content.projection import leading_directions, unit_rows
from fedrec.content.text_words import restore, tidy, train_words
from fedrec.errors import ContentError

MOST_COMMON = 0.5
"""A word in more than this part of the texts says nothing about any of them and is dropped."""
LEAST_WIDTH, MOST_WIDTH = 16, 256
TEXTS_A_DIRECTION = 8
"""Directions where the settings leave their number to the texts."""
FEWEST = 2
"""A word in fewer texts than this joins none of them and is dropped, where enough words remain."""
MOST_FITTED = 100_000
"""Texts that an encoder is fitted on; of a larger catalogue so many, evenly spaced."""
_AT_A_TIME = 8_192
_MOST_KEPT = 20_000
"""Texts whose words' counts an encoder that was fitted on them keeps, since they are most often encoded next."""


@dataclass(frozen=True, eq=False)
class _SeenTexts:
    """Counts of words, [texts + 1, vocabulary], by text; the last row is that of the empty one."""

    rows: Mapping[str, int]
    counts: sparse.csr_matrix

    @classmethod
    def of(cls, texts: Sequence[str], counts: sparse.csr_matrix) -> _SeenTexts | None:
        """Those of a catalogue, which none of is empty; None of a large one."""
        if len(texts) > _MOST_KEPT:
            return None
        empty = sparse.csr_matrix((1, counts.shape[1]), dtype=counts.dtype)
        rows = {"": len(texts)} | {text: place for place, text in enumerate(texts)}
        return cls(rows, sparse.csr_matrix(sparse.vstack([counts, empty])))

    def of_all(self, texts: Sequence[str]) -> sparse.csr_matrix | None:
        """The counts [texts, vocabulary]; None where one was not seen."""
        places = [self.rows.get(text, -1) for text in texts]
        return None if -1 in places else self.counts[places]


@dataclass(frozen=True)
class LsaText(Encoder[str]):
    """Text to a unit vector, or to zeros and not present where no known word is in it.

    A text is its words' (1 + log tf) idf at unit norm, times ``directions`` (singular vectors, divided by the square
    root of their singular value, which evens them out half-way), at unit norm, less ``centre`` (the catalogue's mean),
    at unit norm. Without the centring all texts look alike in what all texts have.
    """

    modality: ClassVar[str] = "text"
    kind: ClassVar[str] = "lsa"
    block = 4_096

    tokenizer: Tokenizer
    idf: NDArray[np.float32]
    directions: NDArray[np.float32]
    centre: NDArray[np.float32]
    settings: TextSettings
    _seen: _SeenTexts | None = field(default=None, compare=False, repr=False)

    @classmethod
    def fit(cls, texts: Sequence[str], settings: TextSettings) -> LsaText:
        """Fit on the catalogue's texts; empty ones are left out. Of more than 100,000, so many are read, evenly spaced.

        The width is ``settings.dimension`` (0: by the number of texts), or less where the texts span less.

        Raises:
            ContentError: no text holds a word.
        """
        tidied = [text for text in tidy(_spaced(texts))[0] if text]
        tokenizer = train_words(tidied, settings.vocabulary)
        counts = _counts(tokenizer, tidied)
        idf = inverse_frequency(np.bincount(counts.indices, minlength=counts.shape[1]), counts.shape[0])
        if not idf.any():
            raise ContentError("no text of the catalogue holds a word", action="Leave 'text' out of content.modalities")
        weighted = _weighted(counts, idf)
        directions, values = leading_directions(weighted, settings.dimension or _width(len(tidied)))
        directions = directions / np.sqrt(values)
        rows = unit_rows(weighted @ directions)
        centre = rows[np.linalg.norm(rows, axis=1) > 0].mean(axis=0)
        if np.linalg.norm(rows - centre, axis=1).max() < 1e-6:
            centre = np.zeros_like(centre)
        narrow = directions.astype(np.float32), centre.astype(np.float32)
        return cls(tokenizer, idf, *narrow, _reduced(settings), _SeenTexts.of(tidied, counts))

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        return f"text-lsa.1 dimension={self.settings.dimension} vocabulary={self.settings.vocabulary}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(features,)"""
        return (int(self.directions.shape[1]),)

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        """Encode texts; see `Encoder.encode`."""
        texts, problems = tidy(batch)
        out = self.empty(len(texts))
        for part in chunks(len(texts), 1024, progress, "text"):
            seen = None if self._seen is None else self._seen.of_all(texts[part])
            weighted = _weighted(_counts(self.tokenizer, texts[part]) if seen is None else seen, self.idf)
            known = np.diff(weighted.indptr) > 0
            # Of a few texts only their own words' directions are read, not the whole vocabulary's.
            words = np.unique(weighted.indices)
            places = weighted[:, words] @ self.directions[words].astype(np.float64)
            rows = unit_rows(unit_rows(places) - self.centre)
            out.values[part] = np.where(known[:, None], rows, 0.0)
            out.present[part] = known
        return Encoded(out.values, out.present, problems)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        arrays: Arrays = {"idf": self.idf, "directions": self.directions, "centre": self.centre}
        return arrays, {"tokenizer": self.tokenizer.to_str(), "settings": self.settings.model_dump()}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> LsaText:
        """See `Encoder.from_state`."""
        tokenizer = restore(field_of(meta, "tokenizer", str))
        idf = array_of(arrays, "idf", (tokenizer.get_vocab_size(),))
        directions = array_of(arrays, "directions", (len(idf), None))
        centre = array_of(arrays, "centre", (directions.shape[1],))
        return cls(tokenizer, idf, directions, centre, text_settings(meta))


def text_settings(meta: Meta) -> TextSettings:
    """The settings in a saved state. Raises ContentError where they are damaged."""
    try:
        return TextSettings.model_validate(field_of(meta, "settings", dict))
    except ValueError:
        raise ContentError("a saved encoder's settings are damaged", action="Build the features again") from None


def _width(texts: int) -> int:
    """Directions that so many texts bear."""
    return max(LEAST_WIDTH, min(texts // TEXTS_A_DIRECTION, MOST_WIDTH))


def _reduced(settings: TextSettings) -> TextSettings:
    """Settings that matter here, so that the others do not change the state."""
    return TextSettings(encoder="lsa", dimension=settings.dimension, vocabulary=settings.vocabulary)


def _counts(tokenizer: Tokenizer, texts: Sequence[str]) -> sparse.csr_matrix:
    """Word counts, float64 [texts, vocabulary], without the unknown word at place 0."""
    width = tokenizer.get_vocab_size()
    parts = [
        _counted(tokenizer, texts[start : start + _AT_A_TIME], width) for start in range(0, len(texts), _AT_A_TIME)
    ]
    return sparse.csr_matrix(sparse.vstack(parts)) if parts else sparse.csr_matrix((0, width), dtype=np.float64)


def _counted(tokenizer: Tokenizer, texts: Sequence[str], width: int) -> sparse.csr_matrix:
    ids = [np.asarray(encoding.ids, np.int64) for encoding in tokenizer.encode_batch(list(texts))]
    owners = np.repeat(np.arange(len(ids)), [len(one) for one in ids])
    pairs = np.sort(owners * width + np.concatenate(ids))
    first = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]])) if len(pairs) else pairs
    rows, words = np.divmod(pairs[first], width)
    times = np.diff(np.append(first, len(pairs))).astype(np.float64)
    known = words > 0
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[known], minlength=len(ids)))])
    return sparse.csr_matrix((times[known], words[known].astype(np.int32), indptr), shape=(len(ids), width))


def _spaced(texts: Sequence[str]) -> Sequence[str]:
    """All texts, or `MOST_FITTED` of them that are evenly spaced: more directions than that are not told by more."""
    if len(texts) <= MOST_FITTED:
        return texts
    return [texts[place] for place in np.linspace(0, len(texts) - 1, MOST_FITTED).astype(np.int64)]


def inverse_frequency(with_word: NDArray[np.int64], texts: int) -> NDArray[np.float32]:
    """log((1 + texts) / (1 + texts with the word)) + 1; 0 for words that are too common or too rare.

    A catalogue so small that nothing would remain keeps all its words.
    """
    idf = np.log((1 + texts) / (1 + with_word)) + 1
    kept = (with_word >= FEWEST) & (with_word <= MOST_COMMON * texts)
    if kept.sum() < min(texts, 16):
        kept = with_word > 0
    return np.where(kept, idf, 0.0).astype(np.float32)


def _weighted(counts: sparse.csr_matrix, idf: NDArray[np.float32]) -> sparse.csr_matrix:
    """TF-IDF at unit norm [texts, vocabulary]; rows without a kept word hold no entry."""
    values = (1 + np.log(counts.data)) * idf[counts.indices]
    weighted = sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape, copy=True)
    weighted.eliminate_zeros()
    squares = np.bincount(_rows(weighted), weighted.data**2, weighted.shape[0])
    norms = np.sqrt(np.where(squares > 0, squares, 1.0))
    return sparse.csr_matrix(sparse.diags(1.0 / norms) @ weighted)


def _rows(matrix: sparse.csr_matrix) -> NDArray[np.int64]:
    """The row of each entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
