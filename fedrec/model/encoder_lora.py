"""The text encoder that fine-tunes MiniLM: its last layer with low-rank adapters, the mean over tokens, a head.

All layers below are frozen, and so is what they make of the public catalogue: `fedrec.content.text_minilm_states` runs
them once, and the model starts from their output.  Trained are ``width * rank`` numbers for each of two adapters, of
query and value (where Hu et al. 2021, section 7.1, found a given number of parameters to do most), and the head:
neither updates nor their noise grow with the layer's 1.8 million weights.  It begins as the pretrained model, exactly.

It costs what a transformer's layer does: about 3 million multiplications a token, forward and back, for each item of
each row, and 60 kB of memory.  Few negatives, a short history, short texts and few rows at once (``speed.batch_rows``)
keep that in bounds.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.model.encoder_head import Head
from fedrec.model.encoder_low_rank import LowRankHead, head_over
from fedrec.model.item_encoder import EncoderInputs, ItemEncoder
from fedrec.model.lora_layer import HEAD, LowRankAdapter, PretrainedLayer

_CHUNK = 128


class LoraText(ItemEncoder):
    """States of tokens before the last layer -> vectors. Every adapter sees rows first, and once a forward pass.

    ``head``: over features of the layer's width.
    """

    keeps_width = True
    has_frozen = True
    wants = f"states (tokens, a multiple of {HEAD})"
    remedy = "Set content.text.encoder to minilm-states, or model.text_encoder to head"
    centre: Tensor

    @classmethod
    def reads(cls, shape: tuple[int, ...]) -> bool:
        """States of tokens, of a width that the layer's heads divide."""
        return len(shape) == 2 and min(shape) > 0 and shape[1] % HEAD == 0

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Self:
        """Build one over the states of tokens."""
        return cls(head_over(inputs.shape[1], inputs), inputs.settings.lora_rank, inputs.generator)

    def __init__(self, head: Head | LowRankHead, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = PretrainedLayer(head.width, generator)
        self.query = LowRankAdapter(head.width, rank, generator)
        self.value = LowRankAdapter(head.width, rank, generator)
        self.register_buffer("centre", torch.zeros(head.width))
        self.head = head

    def pooled(self, values: Tensor, real: Tensor) -> Tensor:
        """float [rows, items, tokens, width] -> [rows, items, width], the mean over tokens of the layer's output; zeros
        where ``real`` is False.  A token of zeros is padding."""
        if torch.is_grad_enabled():
            return self._pooled(values, real)
        # A whole catalogue at once would fill the memory.
        parts = zip(torch.split(values, _CHUNK, 1), torch.split(real, _CHUNK, 1), strict=True)
        return torch.cat([self._pooled(*part) for part in parts], 1)

    def _pooled(self, values: Tensor, real: Tensor) -> Tensor:
        states = values.to(self.centre.dtype).masked_fill(~real[..., None, None], 0.0)
        words = (states != 0).any(-1)
        seen = self.layer(states, words, self.query, self.value)
        total = torch.where(words.unsqueeze(-1), seen, 0.0).sum(-2)
        return total / words.sum(-1, keepdim=True).clamp(min=1)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """float [rows, items, tokens, width] -> [rows, items, dimension]."""
        return self.head(self.pooled(values, real) - self.centre, real)  # type: ignore[no-any-return]

    def centre_on(self, values: NDArray[np.generic], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Let the head see how texts differ from the mean text of a catalogue, features [items, tokens, width]; returns
        what it sees then, [items, width]. All of MiniLM's outputs point much the same way."""
        with torch.no_grad():
            given = torch.from_numpy(np.ascontiguousarray(values)), torch.from_numpy(np.ascontiguousarray(present))
            pooled = self.pooled(*(part[None] for part in given))[0].numpy()
        mean = pooled.sum(0, dtype=np.float64) / max(int(present.sum()), 1)
        self.centre.copy_(torch.from_numpy(mean))
        return np.asarray((pooled - mean) * present[:, None], np.float32)
