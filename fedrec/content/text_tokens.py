"""Text as token ids, for a text encoder that is trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from fedrec.config import TextSettings
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Progress, chunks, field_of
from fedrec.content.text_words import restore, tidy, train_pieces
from fedrec.errors import ContentError


@dataclass(frozen=True, eq=False)
class TokenText(Encoder[str]):
    """Text to its first ``length`` word pieces: int32 ids below ``vocabulary``; 0 padding, 1 an unknown character."""

    modality: ClassVar[str] = "text"
    kind: ClassVar[str] = "tokens"

    tokenizer: Tokenizer
    length: int
    vocabulary: int

    @classmethod
    def fit(cls, texts: Sequence[str], settings: TextSettings) -> TokenText:
        """Train the word pieces on the catalogue's texts. Raises ContentError where no text holds a word."""
        tokenizer = train_pieces([text for text in tidy(texts)[0] if text], settings.vocabulary)
        if tokenizer.get_vocab_size() <= 2:
            raise ContentError("no text of the catalogue holds a word", action="Leave 'text' out of content.modalities")
        return cls(tokenizer, settings.length, settings.vocabulary)

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        return f"text-tokens.1 length={self.length} vocabulary={self.vocabulary}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(tokens,)"""
        return (self.length,)

    @property
    def dtype(self) -> np.dtype[Any]:
        """int32"""
        return np.dtype(np.int32)

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        """Encode texts; see `Encoder.encode`."""
        texts, problems = tidy(batch)
        out = self.empty(len(texts))
        for part in chunks(len(texts), 1024, progress, "text"):
            for place, encoding in enumerate(self.tokenizer.encode_batch(texts[part]), part.start):
                ids = encoding.ids[: self.length]
                out.values[place, : len(ids)] = ids
        out.present[:] = (out.values > 1).any(axis=1)
        out.values[~out.present] = 0
        return Encoded(out.values, out.present, problems)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        return {}, {"tokenizer": self.tokenizer.to_str(), "length": self.length, "vocabulary": self.vocabulary}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> TokenText:
        """See `Encoder.from_state`."""
        tokenizer = restore(field_of(meta, "tokenizer", str))
        vocabulary = field_of(meta, "vocabulary", int)
        if tokenizer.get_vocab_size() > vocabulary:
            raise ContentError("a saved tokenizer is damaged", action="Build the features again")
        return cls(tokenizer, field_of(meta, "length", int), vocabulary)
