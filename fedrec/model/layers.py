"""Small pieces that every part of the model shares: layers drawn from an explicit generator, norms and masked sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

EPSILON = 1e-6
_FAR = -1e9
Layer = TypeVar("Layer", bound=nn.Module)


def unit(vectors: Tensor) -> Tensor:
    """Scale the last dimension to length 1; the zero vector stays zero.

    The squared length gets `EPSILON` inside the root, so gradients are finite everywhere (at most 1000 times the
    incoming one, at the zero vector).
    """
    return vectors * torch.rsqrt(vectors.square().sum(-1, keepdim=True) + EPSILON)


def centred(vectors: Tensor) -> Tensor:
    """Subtract the mean of the last dimension: activations that are all positive would all point the same way."""
    return vectors - vectors.mean(-1, keepdim=True)


def masked_mean(vectors: Tensor, mask: Tensor) -> Tensor:
    """Mean over the items [rows, items, d] -> [rows, d] where ``mask`` is True; zero where it nowhere is."""
    weights = mask.to(vectors.dtype)
    total = torch.einsum("rnd,rn->rd", vectors, weights)
    return total / weights.sum(-1, keepdim=True).clamp(min=1.0)


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension among the entries where ``mask`` is True; all zero where there is none."""
    return torch.softmax(logits.masked_fill(~mask, _FAR), -1) * mask.to(logits.dtype)


def blank(kind: type[Layer], *args: Any, **settings: Any) -> Layer:
    """A layer whose parameters are not set yet: unlike the constructor it draws nothing from the global generator.

    On the default device, so that a model can be laid out on ``meta``, where shapes take no memory.
    """
    device = settings.pop("device", torch.get_default_device())
    made = kind(*args, **{"device": "meta", **settings})
    if not is_layout(device):
        # Not `to_empty`, whose `empty_like` is Python on ``meta``.
        whole: Any = made
        whole._apply(lambda part: torch.empty(part.shape, dtype=part.dtype, device=device))
    return made


def is_layout(device: torch.device | str) -> bool:
    """Whether tensors are shapes without numbers there.

    What draws numbers leaves it out then: on ``meta`` torch does it in Python, for which it loads its compiler, and
    that takes longer than all else that ranking needs.
    """
    return torch.device(device).type == "meta"


def linear(inputs: int, outputs: int, *, bias: bool, generator: torch.Generator, scale: float = 1.0) -> nn.Linear:
    """A linear layer with weights of variance scale^2 / inputs from ``generator``, and zero bias."""
    layer = blank(nn.Linear, inputs, outputs, bias=bias)
    if is_layout(layer.weight.device):
        return layer
    nn.init.normal_(layer.weight, std=scale * inputs**-0.5, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def constant(start: Sequence[Sequence[float]]) -> nn.Linear:
    """A linear layer without bias whose weight [outputs, inputs] starts at given numbers.

    On an input of ones of shape (rows, 1) this is a learned scalar a output, in the only form that per-row gradient
    hooks can see.
    """
    weight = torch.tensor(start, dtype=torch.float32)
    layer = blank(nn.Linear, weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A random float32 matrix [rows, columns] whose shorter side is orthonormal, uniform over rotations."""
    if is_layout(torch.get_default_device()):
        return torch.empty(rows, columns)
    tall = torch.randn(max(rows, columns), min(rows, columns), generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(tall)
    q = q * torch.sign(torch.diagonal(r))
    turned: Tensor = q if rows >= columns else q.T
    return turned.to(torch.float32)
