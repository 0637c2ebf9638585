"""Which items have which words in their titles and attributes, and how much a word says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.content.labels import ItemLabels

Floats32 = NDArray[np.float32]
_WORD: Final = re.compile(r"\w+")
# How much an item's own words that were not asked for count against it: enough to part items that have all of a query.
_EXACT: Final = 0.1


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without accents, in order."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(mark for mark in plain if not unicodedata.combining(mark)))


class WordIndex:
    """Built once for a catalogue of ``titles``, and ``labels`` where items have attributes by name; memory grows with
    their words.

    A word's weight is its inverse document frequency, log(1 + items / items with it) (Spärck Jones 1972).
    """

    def __init__(self, titles: Sequence[str], labels: ItemLabels | None) -> None:
        from scipy import sparse  # loading it takes longer than a list on a device, which no search has asked for

        self.items = len(titles)
        self._places: dict[str, int] = {}
        entries = [self._of_titles(titles)] + ([] if labels is None else [self._of_labels(labels)])
        rows, columns = (np.concatenate(part) for part in zip(*entries, strict=True))
        shape = (len(self._places), self.items)
        ones = np.ones(len(rows), dtype=np.float32)
        # A word that an item has twice counts once.
        self._has = sparse.csr_matrix((ones, (rows, columns)), shape=shape)
        self._has.data[:] = 1.0
        self.weights: Floats32 = np.log1p(self.items / np.maximum(np.diff(self._has.indptr), 1)).astype(np.float32)
        mass = np.asarray(self._has.T @ self.weights, dtype=np.float32)
        self._mass: Floats32 = np.maximum(mass, np.float32(1e-9))

    def known(self, query: str) -> list[str]:
        """The words of a query that some item has, each once, in order."""
        return [word for word in dict.fromkeys(words_of(query)) if word in self._places]

    def scores(self, words: Sequence[str]) -> Floats32:
        """How much of some known words each item has, by weight: [items], 0 to 1, and up to 0.1 more for an item that
        has few other words."""
        rows = np.array([self._places[word] for word in words], dtype=np.int64)
        if not len(rows):
            return np.zeros(self.items, dtype=np.float32)
        weights = self.weights[rows]
        found = np.asarray(self._has[rows].T @ weights, dtype=np.float32)
        return np.asarray(found / weights.sum() + np.float32(_EXACT) * found / self._mass, dtype=np.float32)

    def of(self, item: int, words: Sequence[str]) -> list[str]:
        """Which of some known words an item has."""
        return [word for word in words if self._has[self._places[word], item]]

    def _of_titles(self, titles: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Words and items that go together, int64 [n] each."""
        rows: list[int] = []
        columns: list[int] = []
        for item, title in enumerate(titles):
            for word in words_of(title):
                rows.append(self._row(word))
                columns.append(item)
        return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)

    def _of_labels(self, labels: ItemLabels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same of the words of attribute values, for all items that have a value at once."""
        owners = np.repeat(np.arange(len(labels)), np.diff(labels.indptr))
        order = np.argsort(labels.places, kind="stable")
        ends = np.cumsum(np.bincount(labels.places, minlength=len(labels.names)))
        rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for label, name in enumerate(labels.names):
            items = owners[order[(ends[label - 1] if label else 0) : ends[label]]]
            for word in words_of(name.partition("=")[2]):
                rows.append(np.full(len(items), self._row(word), dtype=np.int64))
                columns.append(items)
        return np.concatenate(rows), np.concatenate(columns)

    def _row(self, word: str) -> int:
        return self._places.setdefault(word, len(self._places))
