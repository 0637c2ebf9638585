"""Sums of per-row gradients, each clipped to an L2 bound: the heart of differentially private training.

Abadi et al. 2016, "Deep Learning with Differential Privacy", Algorithm 1, without the noise, which is added where the
private sum is opened.  Per-row gradients come from Opacus (hooks, or ghost norms), or from ``torch.func`` where a
layer folds items into the batch so that hooks would lose the row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fedrec.config import GradSample
from fedrec.errors import ModelError
from fedrec.model.parameters import shared_parameters
from fedrec.model.rows import Rows
from fedrec.training.groups import ParameterGroups

RowLoss = Callable[[Tensor, Rows], Tensor]
Mode = Literal["hooks", "ghost", "functional"]

# Above so many parameters the memory of per-row gradients costs more than a second backward pass (measured by
# `fedrec bench train --workload modes`).
GHOST_FROM = 300_000


def choose_mode(asked: GradSample, *, flattens_rows: bool, reads_tokens: bool = False, parameters: int) -> Mode:
    """The way to get per-row gradients. Raises ModelError where the one asked for would give wrong norms."""
    if flattens_rows:
        if asked in ("hooks", "ghost"):
            raise ModelError(
                "an encoder of this model folds items into the batch, where hooks lose the row",
                value=asked,
                action="Set speed.grad_sample to auto or functional",
            )
        return "functional"
    if asked == "auto":
        return "ghost" if parameters >= GHOST_FROM and not reads_tokens else "hooks"
    return asked


class ClippedGradients:
    """Computes, for batches of rows, the sum over rows of each row's gradient scaled to at most ``bound``.

    The guarantee: for every row r, ``||g_r * min(1, bound / ||g_r||)|| <= bound``, with ``g_r`` the gradient of that
    row's loss alone; a test holds it against brute force over single rows within 1e-5.  With groups it holds for each
    group and its part of the bound, and so, as their squares add up, for the whole.  A row whose gradient has no finite
    norm adds zero: it would poison the sum, and an answer that fails says whose row it was.

    Args:
        model: computes logits (or ready losses) from `Rows`; its parameters are read in declared order.
        loss: the loss of each row, [rows], from what the model computes; a row's loss depends on that row only.
        bound: above 0.
        mode: see `choose_mode`.
        groups: shares of parts of the model, each clipped apart (`fedrec.training.groups`); none = one group.

    Raises:
        ModelError: groups that do not fit the model.
    """

    def __init__(
        self, model: nn.Module, loss: RowLoss, bound: float, mode: Mode, groups: Mapping[str, float] | None = None
    ) -> None:
        self.model, self.loss, self.bound, self.mode = model, loss, bound, mode
        self.groups = ParameterGroups.split(list(shared_parameters(model)), groups or {})
        self.wrapped: nn.Module = model
        match mode:
            case "hooks":
                self.wrapped = GradSampleModule(model, batch_first=True, loss_reduction="sum", strict=True)
            case "ghost":
                self.wrapped = GradSampleModuleFastGradientClipping(
                    model,
                    batch_first=True,
                    loss_reduction="sum",
                    strict=True,
                    max_grad_norm=bound,
                    use_ghost_clipping=True,
                )
            case "functional":
                pass  # needs no wrapper
            case _:
                assert_never(mode)

    def __call__(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Returns the clipped sum as float64 [P], each row's norm before clipping [rows] (with
        groups see `ParameterGroups.factors`; beyond the bound = clipped), and the summed loss.

        A row whose gradient has no finite norm adds zero to the sum and to the loss; its norm is told as infinite.
        """
        with warnings.catch_warnings():
            # Rows hold data, not activations, so no input needs a gradient; torch warns that hooks fire all the same.
            warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
            total, norms, loss = self._by_mode(rows)
            reach, left = norms.clone(), torch.arange(rows.rows)
            while not bool(torch.isfinite(norms).all()):
                # What is not finite spreads in sums and in ghost's second pass, so the sum is made again without it.
                finite = torch.isfinite(norms)
                reach[left[~finite]] = torch.inf
                left = left[finite]
                if not len(left):
                    return np.zeros(len(total)), reach.double().numpy(), 0.0
                total, norms, loss = self._by_mode(_rows_of(rows, left))
                reach[left] = norms
        return total.double().numpy(), reach.double().numpy(), loss

    def clip(self, samples: Tensor) -> Tensor:
        """Sum of given gradients, [rows, P], each scaled to the bound as `__call__` scales a row's own; [P].

        One that is not finite adds zero.
        """
        samples = samples.masked_fill(~torch.isfinite(samples.norm(dim=1, keepdim=True)), 0.0)
        sizes = [value.numel() for value in shared_parameters(self.model).values()]
        return self._clipped(torch.split(samples, sizes, dim=1))[0].to(samples.dtype)

    def close(self) -> None:
        """Take Opacus' hooks off the model again."""
        if self.wrapped is not self.model:
            wrapped: Any = self.wrapped
            wrapped.remove_hooks()

    def _clipped(self, samples: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The clipped sum [P] of per-row gradients, one [rows, ...] for each parameter, and the rows' norms [rows]."""
        norms = torch.stack([sample.flatten(1).norm(dim=1) for sample in samples])
        factors, reach = self.groups.factors(norms, self.bound)
        placed = zip(self.groups.of, samples, strict=True)
        total = [torch.einsum("r,r...->...", factors[group], sample).flatten() for group, sample in placed]
        return torch.cat(total), reach.detach()

    def _by_mode(self, rows: Rows) -> tuple[Tensor, Tensor, float]:
        match self.mode:
            case "hooks":
                return self._hooks(rows)
            case "ghost":
                return self._ghost(rows)
            case "functional":
                return self._functional(rows)
            case _:
                assert_never(self.mode)

    def _hooks(self, rows: Rows) -> tuple[Tensor, Tensor, float]:
        losses = self.loss(self.wrapped(rows), rows)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        parameters = list(shared_parameters(self.model).values())
        total, norms = self._clipped([_sample(value, rows.rows) for value in parameters])
        self.wrapped.zero_grad(set_to_none=True)
        return total, norms, float(losses.detach().sum())

    def _ghost(self, rows: Rows) -> tuple[Tensor, Tensor, float]:
        wrapped: Any = self.wrapped
        values = list(shared_parameters(self.model).values())
        for value in values:
            value._norm_sample = None  # type: ignore[attr-defined]  # a layer that this batch does not reach keeps none
        losses = self.loss(wrapped(rows), rows)
        losses.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
        factors, norms = self.groups.factors(_ghost_norms(values, rows.rows), self.bound)
        parts = [torch.zeros(0)] * len(values)
        wrapped.disable_hooks()
        for group, factor in enumerate(factors):  # a group's rows are scaled by its own factors: a pass for each
            wrapped.zero_grad(set_to_none=True)
            (losses * factor).sum().backward(retain_graph=group + 1 < len(factors))
            for place, value in enumerate(values):
                if self.groups.of[place] == group:
                    parts[place] = (torch.zeros_like(value) if value.grad is None else value.grad).flatten()
        wrapped.enable_hooks()
        total = torch.cat(parts)
        wrapped.zero_grad(set_to_none=True)
        return total, norms, float(losses.detach().sum())

    def _functional(self, rows: Rows) -> tuple[Tensor, Tensor, float]:
        parameters = {name: value.detach() for name, value in shared_parameters(self.model).items()}
        positives = rows.positives

        def loss_of(values: dict[str, Tensor], row: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            single = Rows.from_row(row, positives)
            value = self.loss(functional_call(self.model, values, (single,)), single)[0]
            return value, value

        samples, losses = vmap(grad(loss_of, has_aux=True), in_dims=(None, 0))(parameters, rows.tensors())
        total, norms = self._clipped(list(samples.values()))
        return total, norms, float(losses.sum())


def _rows_of(rows: Rows, places: Tensor) -> Rows:
    """The rows at ``places``, int [n]."""
    return Rows.from_tensors({name: value[places] for name, value in rows.tensors().items()}, rows.positives)


def _sample(value: Tensor, rows: int) -> Tensor:
    """A parameter's per-row gradients [rows, ...]; zeros where no row used it."""
    sample = getattr(value, "grad_sample", None)
    if sample is None:
        return value.new_zeros((rows, *value.shape))
    if isinstance(sample, list):
        sample = torch.stack(sample).sum(0)
    return sample


def _ghost_norms(values: list[Tensor], rows: int) -> Tensor:
    """Each row's norm by parameter, [parameters, rows]; a layer without norms must have no gradient either."""
    found = []
    for value in values:
        norm = getattr(value, "_norm_sample", None)
        found.append(torch.zeros(rows) if norm is None else norm.detach())
        if norm is None and value.grad is not None:
            raise ModelError(
                "ghost norms do not reach every layer of this model (words within items)",
                action="Set speed.grad_sample to auto or hooks",
            )
    return torch.stack(found)
