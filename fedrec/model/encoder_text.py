"""Text encoders trained from scratch on token ids: a convolution over words, and recurrent cells.

Both are made of embedding and linear layers only, on inputs that keep rows first, so per-row gradients are exact both
by hooks and by ``torch.func``.  Token 0 is padding; an id outside of the vocabulary is read as padding too.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from fedrec.model.encoder_head import Head
from fedrec.model.item_encoder import EncoderInputs, ItemEncoder
from fedrec.model.layers import blank, centred, linear
from fedrec.model.recurrent import GatedCell, MemoryCell
from fedrec.model.subspace import Subspace

EMBEDDING = 16
HIDDEN = 32
WINDOWS = (2, 3, 4)
_TOKENS = "Set content.text.encoder to tokens, or model.text_encoder to head"


class Tokens(nn.Module):
    """Token ids [rows, items, length] -> their embeddings and which of them are words."""

    def __init__(self, vocabulary: int, generator: torch.Generator) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.table = blank(nn.Embedding, vocabulary, EMBEDDING)
        nn.init.normal_(self.table.weight, generator=generator)

    def forward(self, tokens: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        words = (tokens > 0) & (tokens < self.vocabulary) & real.unsqueeze(-1)
        ids = tokens.long() * words
        return self.table(ids) * words.unsqueeze(-1), words


class TextCNN(ItemEncoder):
    """Convolutions over windows of 2, 3 and 4 words, the maximum over the text of each filter, then a head (Kim 2014).

    A convolution is written as a linear layer over windows; every word begins one, zeros follow the last.
    """

    reads_tokens = True
    remedy = _TOKENS

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Self:
        """Build one over token ids."""
        return cls(inputs.vocabulary, inputs.settings.dimension, inputs.place, inputs.generator)

    def __init__(self, vocabulary: int, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.tokens = Tokens(vocabulary, generator)
        self.filters = nn.ModuleList(
            linear(width * EMBEDDING, HIDDEN, bias=True, generator=generator) for width in WINDOWS
        )
        self.head = Head(HIDDEN * len(WINDOWS), dimension, subspace, generator)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """int [rows, items, length] -> [rows, items, dimension]."""
        embedded, words = self.tokens(values, real)
        length = embedded.shape[2]
        behind = embedded.new_zeros((*embedded.shape[:2], max(WINDOWS) - 1, EMBEDDING))
        embedded = torch.cat([embedded, behind], 2)
        found = []
        for width, filters in zip(WINDOWS, self.filters, strict=True):
            window = torch.cat([embedded[:, :, i : i + length] for i in range(width)], -1)
            match = torch.relu(filters(window))
            found.append((match * words.unsqueeze(-1)).amax(2))
        return self.head(centred(torch.cat(found, -1)), real)  # type: ignore[no-any-return]


class TextRecurrent(ItemEncoder):
    """A recurrent cell, of the class's own kind, read to the last word, then a head."""

    reads_tokens = True
    remedy = _TOKENS
    cell_kind: ClassVar[type[GatedCell] | type[MemoryCell]]

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Self:
        """Build one over token ids."""
        return cls(inputs.vocabulary, inputs.settings.dimension, inputs.place, inputs.generator)

    def __init__(self, vocabulary: int, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.tokens = Tokens(vocabulary, generator)
        self.cell = self.cell_kind(EMBEDDING, HIDDEN, generator)
        self.head = Head(HIDDEN, dimension, subspace, generator)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """int [rows, items, length] -> [rows, items, dimension]."""
        embedded, words = self.tokens(values, real)
        return self.head(self.cell(embedded, words), real)  # type: ignore[no-any-return]


class TextGRU(TextRecurrent):
    """Of gated recurrent units (Cho et al. 2014)."""

    cell_kind = GatedCell


class TextLSTM(TextRecurrent):
    """Of long short-term memory (Hochreiter and Schmidhuber 1997)."""

    cell_kind = MemoryCell
