"""Search of the catalogue by words or by a picture, on the device: in the space of the content encoders, and by words.

A query is encoded as items were, and compared by cosine; beside it counts which of its words an item has in its title
and attributes.  Nothing of it is kept or sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.content.attributes import AttributeEncoder
from fedrec.content.encoder import Encoder
from fedrec.content.labels import ItemLabels
from fedrec.errors import ContentError
from fedrec.ranking.word_index import WordIndex
from fedrec.release.contents import FeatureTable

Floats32 = NDArray[np.float32]
_BLOCK_BYTES: Final = 1 << 24


@dataclass(frozen=True, eq=False)
class Match:
    """How well each item fits a query. ``scores``: float32 [items], from 0, 1 and more = fits in one way wholly.
    ``words``: those of the query that some item has in its title or attributes."""

    scores: Floats32
    words: tuple[str, ...]


class ContentSearch:
    """A catalogue that can be searched. Building it takes no time: what is needed is made at the first query.

    Args:
        features: the items as the encoders gave them, with titles.
        encoders: modality -> encoder; ``text``, ``image`` and ``attributes`` are used where they are there.
    """

    def __init__(self, features: FeatureTable, encoders: Mapping[str, Encoder[Any]]) -> None:
        self._features = features
        self._encoders = encoders

    @cached_property
    def words(self) -> WordIndex:
        """Which items have which words."""
        return WordIndex(self._features.titles, self._labels())

    def match(self, query: str | None = None, picture: bytes | None = None) -> Match:
        """Compare a query with every item.

        The score is the sum of three parts, each at most about 1: the weight of the query's words that the item has,
        the cosine of the texts, and the cosine of the pictures; a negative cosine counts 0.

        Args:
            query: words, in any language that the catalogue has.
            picture: a picture's file, as bytes.

        Raises:
            ContentError: neither is given, the picture cannot be read, or nothing of the query says anything to the
                catalogue.
        """
        if query is None and picture is None:
            raise ContentError("there is nothing to search for", action="Give words, a picture, or both")
        parts: list[Floats32] = []
        words: list[str] = []
        if query is not None:
            words = self.words.known(query)
            parts += [self.words.scores(words)] if words else []
            parts += self._alike("text", query)
        if picture is not None:
            alike = self._alike("image", picture)
            if not alike:
                raise ContentError(
                    "this catalogue cannot be searched by this picture",
                    action="Give a JPEG or PNG file, and a release whose encoders include one of pictures",
                )
            parts += alike
        if not parts:
            raise ContentError("no word of the query says anything here", value=query, action="Use other words")
        return Match(np.sum(parts, axis=0, dtype=np.float32), tuple(words))

    def _labels(self) -> ItemLabels | None:
        """The items' attribute values by name, as far as the encoder of attributes knows them."""
        encoder, table = self._encoders.get("attributes"), self._features.values.get("attributes")
        if not isinstance(encoder, AttributeEncoder) or table is None:
            return None
        named = np.array(["=" in name for name in encoder.columns], dtype=np.bool_)
        # A block is centred on the items that have it: above 0 = the item has this value.
        owners, places = np.nonzero(np.asarray(table)[:, named] > 0)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(table)))])
        names = tuple(name for name, kept in zip(encoder.columns, named.tolist(), strict=True) if kept)
        return ItemLabels(names, indptr.astype(np.int64), places.astype(np.int32))

    def _alike(self, modality: str, piece: str | bytes) -> list[Floats32]:
        """The cosine of each item with a piece of content, from 0; nothing where they cannot be compared."""
        encoder, table = self._encoders.get(modality), self._features.values.get(modality)
        # Token ids are names, which have no cosine.
        if encoder is None or table is None or table.dtype.kind != "f":
            return []
        encoded = encoder.encode([piece])
        if not encoded.present[0]:
            return []
        vector = np.asarray(encoded.values[0], dtype=np.float32).ravel()
        vector /= max(float(np.linalg.norm(vector)), 1e-12)
        return [np.maximum(_cosines(table.reshape(len(table), -1), vector), 0.0)]


def _cosines(table: NDArray[Any], vector: Floats32) -> Floats32:
    """Cosines of rows [items, width] with a unit vector, some rows at a time so that memory stays small."""
    found = np.zeros(len(table), dtype=np.float32)
    step = max(1, _BLOCK_BYTES // (4 * max(table.shape[1], 1)))
    for start in range(0, len(table), step):
        block = np.asarray(table[start : start + step], dtype=np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        found[start : start + step] = (block @ vector) / np.maximum(lengths, 1e-12)
    return found


def reason_of(words: Sequence[str], *, pictured: bool, tasted: bool) -> str:
    """One line for people: why an item was found."""
    said = [f"has {', '.join(words)}"] if words else []
    said += ["like the picture"] if pictured else []
    said += ["and to your taste"] if tasted else []
    return ", ".join(said) or "its text is like the query"
