"""Text encoders trained from scratch on token ids: a convolution over words, and a recurrent cell.

Both are made of embedding and linear layers only, on inputs that keep rows first, so per-row gradients are exact both
by hooks and by ``torch.func``.  Token 0 is padding; an id outside of the vocabulary is read as padding too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrec.model.encoder_head import Head, Subspace
from fedrec.model.layers import blank, centred, linear

EMBEDDING = 16
HIDDEN = 32
WINDOWS = (2, 3, 4)


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


class TextCNN(nn.Module):
    """Convolutions over windows of 2, 3 and 4 words, the maximum over the text of each filter, then a head (Kim 2014).

    A convolution is written as a linear layer over windows; every word begins one, zeros follow the last.
    """

    flattens_rows = False
    reads_tokens = True

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


class TextGRU(nn.Module):
    """A gated recurrent unit read to the last word, then a head (Cho et al. 2014, section 2.3)."""

    flattens_rows = False
    reads_tokens = True

    def __init__(self, vocabulary: int, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.tokens = Tokens(vocabulary, generator)
        self.inward = linear(EMBEDDING, 3 * HIDDEN, bias=True, generator=generator)
        self.onward = linear(HIDDEN, 3 * HIDDEN, bias=True, generator=generator)
        self.head = Head(HIDDEN, dimension, subspace, generator)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """int [rows, items, length] -> [rows, items, dimension]."""
        embedded, words = self.tokens(values, real)
        inward = self.inward(embedded)
        state = embedded.new_zeros((*embedded.shape[:2], HIDDEN))
        for step in range(embedded.shape[2]):
            following = self._step(inward[:, :, step], state)
            state = torch.where(words[:, :, step].unsqueeze(-1), following, state)
        return self.head(state, real)  # type: ignore[no-any-return]

    def _step(self, inward: Tensor, state: Tensor) -> Tensor:
        in_reset, in_update, in_new = inward.chunk(3, -1)
        on_reset, on_update, on_new = self.onward(state).chunk(3, -1)
        reset, update = torch.sigmoid(in_reset + on_reset), torch.sigmoid(in_update + on_update)
        return update * state + (1.0 - update) * torch.tanh(in_new + reset * on_new)
