"""What all fusions are made of: weighted sums over the modalities of an item, and its modalities side by side."""

from __future__ import annotations

import torch
from torch import Tensor


def mixed(vectors: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over the modalities."""
    return torch.einsum("rnkd,rnk->rnd", vectors, weights)


def evenly(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Equal weights over what is present, summing to 1 (or all zero)."""
    there = present.to(dtype)
    return there / there.sum(-1, keepdim=True).clamp(min=1.0)


def joined(vectors: Tensor, present: Tensor) -> Tensor:
    """[rows, items, k * d + k]: the vectors of what is present, zeros for the rest, and which is which."""
    there = present.to(vectors.dtype)
    return torch.cat([(vectors * there.unsqueeze(-1)).flatten(-2), there], -1)
