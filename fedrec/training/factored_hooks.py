"""Opacus' hooks, but for layers whose per-row gradients are kept as factors instead of being multiplied out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import torch
from opacus.grad_sample import GradSampleModule
from torch import Tensor, nn

from fedrec.training.row_gradients import EmbeddedRows, FactoredRows, RowGradients

_KEPT: Final = "_row_factors"


def _keep(layer: nn.Linear | nn.Embedding, activations: Sequence[Tensor], backprops: Tensor) -> Tensor:
    """Keep one use of a layer with its weight; return what Opacus takes for the weight's samples, which is nothing."""
    kept: list[tuple[nn.Module, Tensor, Tensor]] = getattr(layer.weight, _KEPT, [])
    setattr(layer.weight, _KEPT, [*kept, (layer, backprops, activations[0])])
    return backprops.new_zeros((len(backprops), 0))


def _linear(layer: nn.Linear, activations: Sequence[Tensor], backprops: Tensor) -> dict[Tensor, Tensor]:
    samples: dict[Tensor, Tensor] = {}
    if layer.weight.requires_grad:
        samples[layer.weight] = _keep(layer, activations, backprops)
    if layer.bias is not None and layer.bias.requires_grad:
        samples[layer.bias] = torch.einsum("n...k->nk", backprops)
    return samples


def _embedding(layer: nn.Embedding, activations: Sequence[Tensor], backprops: Tensor) -> dict[Tensor, Tensor]:
    return {layer.weight: _keep(layer, activations, backprops)} if layer.weight.requires_grad else {}


class FactoredGradSampleModule(GradSampleModule):  # type: ignore[misc]  # Opacus has no types
    """Opacus' wrapper of a model, which keeps factors of dense layers and embeddings; other layers are as in Opacus."""

    GRAD_SAMPLERS: ClassVar[dict[type[nn.Module], Any]] = {
        **GradSampleModule.GRAD_SAMPLERS,
        nn.Linear: _linear,
        nn.Embedding: _embedding,
    }

    @staticmethod
    def taken(value: Tensor) -> RowGradients | None:
        """The rows' gradients of a parameter whose factors were kept, which are then let go; None = none were."""
        kept: list[tuple[nn.Module, Tensor, Tensor]] = getattr(value, _KEPT, [])
        if not kept:
            return None
        setattr(value, _KEPT, [])
        backprops, inputs = [one[1] for one in kept], [one[2] for one in kept]
        if isinstance(kept[0][0], nn.Embedding):
            return EmbeddedRows.of(backprops, inputs, len(value))
        return FactoredRows.best(backprops, inputs)
