"""Recurrent cells made of linear layers alone, so that rows stay the first dimension and per-row gradients are exact.

Both by Opacus' hooks (a layer called once a step is added up) and under ``torch.func.vmap``.  A step whose mask is
False leaves the state as it is, so padding changes nothing wherever it lies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrec.model.layers import linear


class GatedCell(nn.Module):
    """A gated recurrent unit (Cho et al. 2014, section 2.3)."""

    def __init__(self, inputs: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = hidden
        self.inward = linear(inputs, 3 * hidden, bias=True, generator=generator)
        self.onward = linear(hidden, 3 * hidden, bias=True, generator=generator)

    def forward(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """[..., steps, inputs] and bool [..., steps] -> the last state [..., hidden]; zero without a step."""
        inward = self.inward(sequence)
        state = sequence.new_zeros((*mask.shape[:-1], self.hidden))
        for step in range(mask.shape[-1]):
            following = self._step(inward[..., step, :], state)
            state = torch.where(mask[..., step].unsqueeze(-1), following, state)
        return state

    def _step(self, inward: Tensor, state: Tensor) -> Tensor:
        in_reset, in_update, in_new = inward.chunk(3, -1)
        on_reset, on_update, on_new = self.onward(state).chunk(3, -1)
        reset, update = torch.sigmoid(in_reset + on_reset), torch.sigmoid(in_update + on_update)
        return update * state + (1.0 - update) * torch.tanh(in_new + reset * on_new)


class MemoryCell(nn.Module):
    """Long short-term memory with forget gates (Hochreiter and Schmidhuber 1997; Gers et al. 2000, section 3)."""

    def __init__(self, inputs: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = hidden
        self.inward = linear(inputs, 4 * hidden, bias=True, generator=generator)
        self.onward = linear(hidden, 4 * hidden, bias=False, generator=generator)
        with torch.no_grad():
            # A forget gate that starts open lets the first words reach the end of the text.
            self.inward.bias[hidden : 2 * hidden] = 1.0

    def forward(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """[..., steps, inputs] and bool [..., steps] -> the last output [..., hidden]; zero without a step."""
        inward = self.inward(sequence)
        output = sequence.new_zeros((*mask.shape[:-1], self.hidden))
        memory = torch.zeros_like(output)
        for step in range(mask.shape[-1]):
            take, keep, show, new = (inward[..., step, :] + self.onward(output)).chunk(4, -1)
            kept = torch.sigmoid(keep) * memory + torch.sigmoid(take) * torch.tanh(new)
            there = mask[..., step].unsqueeze(-1)
            memory = torch.where(there, kept, memory)
            output = torch.where(there, torch.sigmoid(show) * torch.tanh(kept), output)
        return output
