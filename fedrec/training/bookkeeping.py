"""Per-row gradients from one backward pass that stops at the outputs of layers: book-keeping.

Bu et al. 2023, "Differentially Private Optimization on Large Model at Small Cost" (ICML), section 3: what a dense layer
read, and the gradient of what it gave, are all that its rows' gradients are made of.  So a pass notes what each layer
reads and gives, and asks for the gradients of these outputs only; the batch's own gradient of the parameters, which
clipping has no use for, is never computed.  A layer's rows are then multiplied out by one batched product, or kept as
factors, whichever is less work (`FactoredRows.best`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from fedrec.model.fused_table import FusedTable, sums_of_products
from fedrec.model.item_table import Looked
from fedrec.training.row_gradients import DenseRows, EmbeddedRows, FactoredRows, RowGradients

_KNOWN: Final = (nn.Linear, nn.Embedding)


@dataclass(frozen=True, eq=False)
class Use:
    """One use of a layer in a pass: what it read, [rows, ..., inputs], places [rows, ...], items that were looked up or
    the heads of a `FusedTable`, and what it gave."""

    layer: nn.Linear | nn.Embedding | FusedTable
    inputs: Any
    output: Tensor


class _Notes(threading.local):
    """The uses that the thread's own pass has seen; None where it is not noting."""

    uses: list[Use] | None = None


@dataclass(frozen=True, eq=False)
class Bookkeeper:
    """Notes the layers of a model, whose batches have rows first. Passes may run in several threads at once."""

    model: nn.Module
    _notes: _Notes = field(default_factory=_Notes)
    _hooks: list[Any] = field(default_factory=list)

    @staticmethod
    def knows(model: nn.Module) -> bool:
        """Whether every parameter belongs to a layer whose rows can be told: dense layers and embeddings."""
        having = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
        return all(type(module) in _KNOWN and _plain(module) for module in having)

    def __post_init__(self) -> None:
        for module in self.model.modules():
            if type(module) in (*_KNOWN, FusedTable):
                self._hooks.append(module.register_forward_hook(self._note))

    def close(self) -> None:
        """Take the hooks off the model."""
        while self._hooks:
            self._hooks.pop().remove()

    @contextmanager
    def noting(self) -> Iterator[list[Use]]:
        """Within it, what this thread passes through the model is noted in the list."""
        self._notes.uses = []
        try:
            yield self._notes.uses
        finally:
            self._notes.uses = None

    def _note(self, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self._notes.uses is not None and output.requires_grad:
            self._notes.uses.append(Use(layer, inputs[0], output))


def rows_of(losses: Tensor, uses: list[Use], parameters: Mapping[str, Tensor]) -> list[RowGradients]:
    """The gradients of each row's loss, one `RowGradients` for each parameter in the order given.

    Args:
        losses: [rows], each of its row alone.
        uses: what the pass that computed them noted.
        parameters: of the model, by name.
    """
    given = [use.output for use in uses]
    asked = bool(given) and losses.requires_grad
    slopes = torch.autograd.grad(losses.sum(), given, allow_unused=True) if asked else (None,) * len(given)
    kept: dict[int, list[tuple[Use, Tensor]]] = {}
    ready: dict[int, Tensor] = {}
    for use, slope in zip(uses, slopes, strict=True):
        if slope is None:
            continue
        if isinstance(use.layer, FusedTable):
            ready |= {id(value): rows for value, rows in use.layer.rows_of(use.inputs, use.output.detach(), slope)}
            continue
        kept.setdefault(id(use.layer.weight), []).append((use, slope))
        if isinstance(use.layer, nn.Linear) and use.layer.bias is not None:
            kept.setdefault(id(use.layer.bias), []).append((use, slope))
    return [
        DenseRows(ready[id(value)]) if id(value) in ready else _of(value, kept.get(id(value), []), len(losses))
        for value in parameters.values()
    ]


def _of(value: Tensor, uses: list[tuple[Use, Tensor]], rows: int) -> RowGradients:
    if not uses:
        return DenseRows(value.new_zeros((rows, *value.shape)))
    slopes = [slope for _, slope in uses]
    layer: Any = uses[0][0].layer
    if layer.weight is not value:
        sums = [slope.flatten(1, -2).sum(1) if slope.ndim > 2 else slope for slope in slopes]
        return DenseRows(sums[0] if len(sums) == 1 else torch.stack(sums).sum(0))
    inputs = [use.inputs if isinstance(use.inputs, Looked) else use.inputs.detach() for use, _ in uses]
    if isinstance(inputs[0], Looked) and len(inputs) == 1:
        return DenseRows(sums_of_products(slopes[0], inputs[0]))
    read = [one.gathered if isinstance(one, Looked) else one for one in inputs]
    if isinstance(layer, nn.Embedding):
        return EmbeddedRows.of(slopes, read, len(value))
    return FactoredRows.best(slopes, read)


def _plain(layer: Any) -> bool:
    """Not an embedding that changes its own gradient or table."""
    return not isinstance(layer, nn.Embedding) or (
        layer.padding_idx is None and layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse
    )
