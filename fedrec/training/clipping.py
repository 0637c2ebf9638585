"""Sums of per-row gradients, each clipped to an L2 bound: the heart of differentially private training.

Abadi et al. 2016, "Deep Learning with Differential Privacy", Algorithm 1, without the noise, which is added where the
private sum is opened.  Per-row gradients come from book-keeping (`bookkeeping`), from Opacus' hooks (whole, or as
factors, see `row_gradients`), or from ``torch.func`` where a layer folds items into the batch so that the others would
lose the row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fedrec.accelerator import to_numpy
from fedrec.config import GradSample
from fedrec.errors import ModelError
from fedrec.model.parameters import shared_parameters
from fedrec.model.rows import Rows
from fedrec.training.bookkeeping import Bookkeeper, rows_of
from fedrec.training.groups import ParameterGroups
from fedrec.training.placement import device_of, on_device
from fedrec.training.row_gradients import DenseRows, RowGradients
from fedrec.training.side_by_side import side_by_side

RowLoss = Callable[[Tensor, Rows], Tensor]
Mode = Literal["bookkeeping", "hooks", "ghost", "functional"]


def choose_mode(asked: GradSample, model: nn.Module, *, flattens_rows: bool) -> Mode:
    """The way to get per-row gradients: book-keeping, unless the model has layers that it does not know; it was the
    fastest on every model of `fedrec bench train --workload modes`.

    Raises:
        ModelError: the one asked for would give wrong norms, or cannot.
    """
    if flattens_rows:
        if asked not in ("auto", "functional"):
            raise ModelError(
                "an encoder of this model folds items into the batch, where hooks lose the row",
                value=asked,
                action="Set speed.grad_sample to auto or functional",
            )
        return "functional"
    known = Bookkeeper.knows(model)
    if asked == "bookkeeping" and not known:
        raise ModelError(
            "this model has parameters in other layers than dense ones and embeddings",
            value=asked,
            action="Set speed.grad_sample to auto, hooks or functional",
        )
    if asked == "auto":
        return "bookkeeping" if known else "hooks"
    return asked


class ClippedGradients:
    """Computes, for batches of rows, the sum over rows of each row's gradient scaled to at most ``bound``.

    The guarantee: what row r adds is ``g_r * min(1, bound / n_r)`` of norm at most ``bound``, with ``g_r`` the gradient
    of that row's loss alone as float32 has it, and ``n_r`` its norm or more (`row_gradients`), whatever the parameters
    are.  Tests hold it against brute force over single rows, and search for a row beyond its bound in every mode.  With
    groups it holds for each group and its part of the bound, and so, as their squares add up, for the whole.  A row
    whose gradient has no finite norm adds zero: it would poison the sum, and an answer that fails says whose row it
    was.

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
        # Kept: to look them up takes as long as the arithmetic of a small batch. Values are set in place.
        self._shared = shared_parameters(model)
        self.groups = ParameterGroups.split(list(self._shared), groups or {})
        self.wrapped: nn.Module = model
        self._keeper: Bookkeeper | None = None
        self._factors: Callable[[Tensor], RowGradients | None] = _no_factors
        match mode:
            case "bookkeeping":
                self._keeper = Bookkeeper(model)
            case "hooks":
                # Opacus takes seconds to import, and is asked for where a model has layers that only it knows.
                from opacus.grad_sample import GradSampleModule

                self.wrapped = GradSampleModule(model, batch_first=True, loss_reduction="sum", strict=True)
            case "ghost":
                from fedrec.training.factored_hooks import FactoredGradSampleModule

                self.wrapped = FactoredGradSampleModule(model, batch_first=True, loss_reduction="sum", strict=True)
                self._factors = FactoredGradSampleModule.taken
            case "functional":
                pass  # needs no wrapper
            case _:
                assert_never(mode)

    def __call__(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Returns the clipped sum as float64 [P], each row's norm before clipping [rows] (with
        groups see `ParameterGroups.factors`; beyond the bound = clipped), and the summed loss.

        A row whose gradient has no finite norm adds zero to the sum and to the loss; its norm is told as infinite.
        """
        rows = on_device(rows, device_of(self.model))
        total, norms, loss = self._by_mode(rows)
        if bool(torch.isfinite(norms).all()):
            return to_numpy(total.double()), to_numpy(norms.double()), loss
        reach, left = norms.clone(), torch.arange(rows.rows, device=norms.device)
        while not bool(torch.isfinite(norms).all()):
            # What is not finite spreads in sums and in ghost's second pass, so the sum is made again without it.
            finite = torch.isfinite(norms)
            reach[left[~finite]] = torch.inf
            left = left[finite]
            if not len(left):
                return np.zeros(len(total)), to_numpy(reach.double()), 0.0
            total, norms, loss = self._by_mode(_rows_of(rows, left))
            reach[left] = norms
        return to_numpy(total.double()), to_numpy(reach.double()), loss

    def sums(self, batches: Iterable[Rows]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], float]]:
        """What `__call__` gives for each batch, in order; with book-keeping as many batches at once as torch has
        threads."""
        cores = self.mode == "bookkeeping" and device_of(self.model).type == "cpu"
        workers = torch.get_num_threads() if cores else 1
        return side_by_side(self, batches, workers)

    def clip(self, samples: Tensor) -> Tensor:
        """Sum of given gradients, [rows, P], each scaled to the bound as `__call__` scales a row's own; float64 [P].

        One that is not finite adds zero.
        """
        samples = samples.masked_fill(~torch.isfinite(samples).all(dim=1, keepdim=True), 0.0)
        sizes = [value.numel() for value in self._shared.values()]
        return self._clipped([DenseRows(part) for part in torch.split(samples, sizes, dim=1)])[0]

    def close(self) -> None:
        """Take all hooks off the model again."""
        if self._keeper is not None:
            self._keeper.close()
        if self.wrapped is not self.model:
            wrapped: Any = self.wrapped
            wrapped.remove_hooks()

    def _clipped(self, gradients: Sequence[RowGradients]) -> tuple[Tensor, Tensor]:
        """The clipped sum [P] of per-row gradients, one `RowGradients` for each parameter, and the rows' norms [rows];
        both float64."""
        groups, pieces = _pieces(self.groups.of, gradients)
        norms = torch.stack([piece.norms() for piece in pieces])
        factors, reach = replace(self.groups, of=groups).factors(norms, self.bound)
        placed = zip(groups, pieces, strict=True)
        return torch.cat([piece.weighted_sum(factors[group]) for group, piece in placed]), reach

    def _by_mode(self, rows: Rows) -> tuple[Tensor, Tensor, float]:
        if self._keeper is not None:
            return self._noted(rows, self._keeper)
        return self._functional(rows) if self.mode == "functional" else self._hooked(rows)

    def _noted(self, rows: Rows, keeper: Bookkeeper) -> tuple[Tensor, Tensor, float]:
        with keeper.noting() as uses:
            losses = self.loss(self.model(rows), rows)
        total, norms = self._clipped(rows_of(losses, uses, self._shared))
        return total, norms, float(losses.detach().sum())

    def _hooked(self, rows: Rows) -> tuple[Tensor, Tensor, float]:
        for value in self._parameters():
            self._factors(value)  # what a pass that failed may have left
        with warnings.catch_warnings():
            # Rows hold data, not activations, so no input needs a gradient; torch warns that hooks fire all the same.
            warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
            losses = self.loss(self.wrapped(rows.dense()), rows)
            losses.sum().backward()  # type: ignore[no-untyped-call]
        total, norms = self._clipped([self._gradient(value, rows.rows) for value in self._parameters()])
        self.wrapped.zero_grad(set_to_none=True)
        return total, norms, float(losses.detach().sum())

    def _gradient(self, value: Tensor, rows: int) -> RowGradients:
        factored = self._factors(value)
        return DenseRows(_sample(value, rows)) if factored is None else factored

    def _functional(self, rows: Rows) -> tuple[Tensor, Tensor, float]:
        parameters = {name: value.detach() for name, value in self._shared.items()}
        positives = rows.positives

        def loss_of(values: dict[str, Tensor], row: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            single = Rows.from_row(row, positives)
            value = self.loss(functional_call(self.model, values, (single,)), single)[0]
            return value, value

        samples, losses = vmap(grad(loss_of, has_aux=True), in_dims=(None, 0))(parameters, rows.tensors())
        total, norms = self._clipped([DenseRows(sample) for sample in samples.values()])
        return total, norms, float(losses.sum())

    def _parameters(self) -> list[Tensor]:
        return list(self._shared.values())


def _no_factors(value: Tensor) -> None:
    """Where all rows' gradients are whole."""


def _pieces(of: Sequence[int], gradients: Sequence[RowGradients]) -> tuple[tuple[int, ...], list[RowGradients]]:
    """The gradients of one parameter after the other, dense ones of a group together, with the group of each piece."""
    found: list[tuple[int, RowGradients]] = []
    for (group, dense), run in groupby(
        zip(of, gradients, strict=True), key=lambda one: (one[0], isinstance(one[1], DenseRows))
    ):
        parts = [gradient for _, gradient in run]
        joined = [DenseRows.joined([part for part in parts if isinstance(part, DenseRows)])] if dense else parts
        found += [(group, part) for part in joined]
    return tuple(group for group, _ in found), [part for _, part in found]


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
    return sample.detach()
