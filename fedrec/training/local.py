"""DP-SGD on one device, by Opacus: what makes a device's contribution private before anything leaves it.

Opacus computes each row's gradient (`GradSampleModule`) and takes the step (`DPOptimizer`).  Three things of Opacus are
not used.  It clips by norms in float32; here rows are clipped as in `clipping`, in float64.
`PrivacyEngine.make_private` draws samples and noise from torch's statistical generator, or, in its secure mode, from
torchcsprng, which is no longer built; here both come from `fedrec.randomness`.  And its accountant lives as long as its
process; here the device's ledger is the accountant, in the device's store.

Noise that is added in floating point can be told from its last bits (Mironov, CCS 2012).  So the clipped sum and the
noise are rounded to one grid, whose step is a power of two, before they are added.  Rounding may move a sum of d
elements by sqrt(d) steps more than its rows differ; rows are clipped that much further, so that one interaction still
moves what is noised by ``privacy.clip`` at most.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.objective import Objective
from fedrec.model.rows import Rows
from fedrec.randomness import derived_key, gaussian, key
from fedrec.training.augment import Augmenting
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.examples import by_example, sample_examples
from fedrec.training.groups import ParameterGroups
from fedrec.training.local_noise import LocalNoise
from fedrec.training.row_gradients import DenseRows
from fedrec.training.tables import Tables
from fedrec.training.update import Update
from fedrec.users import UserBatch

# Steps of the grid in one deviation of the noise: 13 deviations and the sum are then whole numbers that float32 holds.
_FINENESS: Final = 2.0**18
# The whole gradient is clipped at once.
_WHOLE: Final = ParameterGroups((0,), (1.0,))


@dataclass(frozen=True)
class StepBounds:
    """How one step is bounded and noised. ``row``: of one row's gradient, L2.  ``deviation``: of the noise.
    ``resolution``: the grid's step, a power of two; 0 = no grid, as without noise."""

    row: float
    deviation: float
    resolution: float


def step_bounds(clip: float, multiplier: float, length: int) -> StepBounds:
    """The bounds with which one interaction moves a noised sum of ``length`` elements by ``clip`` at most.

    An interaction may turn its row's gradient around: twice the row's bound, and the rounding of two sums.

    Raises:
        ModelError: there are so many elements that rounding alone would use the clip up.
    """
    if not multiplier:
        return StepBounds(clip / 2, 0.0, 0.0)
    deviation = multiplier * clip
    resolution = 2.0 ** math.floor(math.log2(deviation / _FINENESS))
    left = clip - resolution * math.sqrt(length)
    if left <= clip / 2:
        raise ModelError(
            "the noise is too coarse for so many parameters",
            value=length,
            action="Use a larger epsilon, or a smaller model",
        )
    return StepBounds(left / 2, deviation, resolution)


class _Optimizer(DPOptimizer):  # type: ignore[misc]  # Opacus has no types
    """Opacus' optimiser with noise from a cryptographic generator, on a grid."""

    def __init__(self, optimizer: torch.optim.Optimizer, bounds: StepBounds, rows: int) -> None:
        multiplier = bounds.deviation / bounds.row
        super().__init__(optimizer, noise_multiplier=multiplier, max_grad_norm=bounds.row, expected_batch_size=rows)
        self.bounds = bounds
        self.noise_key = b""

    def clip_and_accumulate(self) -> None:
        """In place of Opacus' own, whose norms are of float32: ``p.summed_grad`` becomes the clipped sum, float64."""
        rows = [DenseRows(value.grad_sample) for value in self.params]
        factors, _ = _WHOLE.factors(_norms(rows).unsqueeze(0), self.bounds.row)
        for value, gradient in zip(self.params, rows, strict=True):
            value.summed_grad = gradient.weighted_sum(factors[0]).view_as(value)

    def add_noise(self) -> None:
        """In place of Opacus' own: ``p.grad`` becomes the noisy sum."""
        sums: list[Tensor] = [value.summed_grad for value in self.params]
        flat = torch.cat([part.detach().reshape(-1) for part in sums]).double().numpy()
        noisy = noised(flat, self.bounds, self.noise_key)
        start = 0
        for value in self.params:
            part = noisy[start : start + value.numel()]
            value.grad = torch.from_numpy(part.astype(np.float32)).view_as(value)
            start += value.numel()


def noised(total: NDArray[np.float64], bounds: StepBounds, noise_key: bytes) -> NDArray[np.float64]:
    """A clipped sum and its noise, both in whole steps of the grid."""
    if not bounds.deviation:
        return total
    noise = gaussian(noise_key, len(total)) * (bounds.deviation / bounds.resolution)
    whole: NDArray[np.float64] = (np.rint(total / bounds.resolution) + np.rint(noise)) * bounds.resolution
    return whole


class LocalLearner:
    """Takes a device's local DP-SGD steps. Holds the model and the catalogue's tables, no user's data.

    Raises:
        ModelError: an encoder of the model folds items into the batch, where Opacus' hooks lose the row.
    """

    def __init__(self, config: Config, features: Features) -> None:
        self.config = config
        self.model = build_model(config, features)
        if self.model.flattens_rows:
            raise ModelError(
                "local noise needs a model whose rows Opacus can tell apart",
                value=config.model.preset,
                action="Use encoders over frozen features: content.text.encoder lsa, content.image.encoder statistics",
            )
        self.tables = Tables(features)
        self.augmenting = Augmenting(config)
        objective = Objective(self.model, config.training)
        self.wrapped = GradSampleModule(objective, batch_first=True, loss_reduction="sum", strict=True)
        self.values = list(parameters.shared_parameters(self.model).values())

    def update(
        self,
        population: UserBatch,
        values: NDArray[np.float32],
        pool: NDArray[np.int32],
        round_number: int,
        noise: LocalNoise,
        inclusion: NDArray[np.float32] | None = None,
    ) -> Update:
        """Take a device's local steps: from ``values`` [P] some noisy steps, and back how far it went, within the
        bound.

        Args:
            population: all users of the device; their interactions are one data set.  Without any, there is noise only.
            values: the broadcast parameters.
            pool: places of the round's negatives.
            round_number: of the round.
            noise: how much, and from which key.
            inclusion: see `build_rows`.

        Returns:
            ``values`` minus where the steps led, which points where a gradient does, scaled down to norm
            ``privacy.local.bound``; one row.  ``loss`` and ``clipped`` are of the rows drawn, seen by a simulator only.

        Raises:
            ModelError: parameters of another model.
        """
        parameters.unflatten(self.model, values)
        local, rows_each = self.config.privacy.local, self._rows(population)
        bounds = step_bounds(self.config.privacy.clip, noise.multiplier, len(values))
        optimiser = _Optimizer(torch.optim.SGD(self.values, lr=local.learning_rate), bounds, rows_each)
        rows, loss, clipped = 0, 0.0, 0
        for step in range(local.steps):
            drawn = sample_examples(population, noise.probability, derived_key(noise.key, "sample", step))
            optimiser.noise_key = derived_key(noise.key, "noise", step)
            seen = self._step(optimiser, self._batches(drawn, pool, round_number, step, inclusion))
            rows, loss, clipped = rows + seen[0], loss + seen[1], clipped + seen[2]
        moved = values.astype(np.float64) - parameters.flatten(self.model)
        return Update(_within(moved, local.bound), rows, loss, clipped)

    def _rows(self, population: UserBatch) -> int:
        """By how many rows a step's sum is divided: a public number, whatever was drawn."""
        return max(1, len(population)) * self.config.training.examples

    def _batches(
        self,
        drawn: UserBatch,
        pool: NDArray[np.int32],
        round_number: int,
        step: int,
        inclusion: NDArray[np.float32] | None = None,
    ) -> Iterator[Rows]:
        """The rows of the drawn interactions, ``speed.batch_rows`` at once."""
        seed = self.config.run.seed
        rows = by_example(drawn, self.config.training.examples, key(seed, "local groups", round_number, step))
        shape = RowShape(positives=1, history=self.config.model.history)
        order = key(seed, "local rows", round_number, step)
        return build_rows(
            rows,
            self.tables,
            pool,
            shape,
            key=order,
            batch_rows=self.config.speed.batch_rows,
            inclusion=inclusion,
            augment=self.augmenting.of(round_number, step),
        )

    def _step(self, optimiser: _Optimizer, batches: Iterable[Rows]) -> tuple[int, float, int]:
        """One noisy step; returns how many rows it saw, their loss, and how many were clipped."""
        count, loss = 0, 0.0
        found: list[list[Tensor]] = [[] for _ in self.values]
        for rows in batches:
            optimiser.zero_grad()
            with warnings.catch_warnings():
                # Rows hold data, so no input needs a gradient; torch warns that hooks fire all the same.
                warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
                losses = self.wrapped(rows.dense())
                losses.sum().backward()
            count += rows.rows
            loss += float(torch.nan_to_num(losses.detach(), nan=0.0, posinf=0.0, neginf=0.0).sum())
            for kept, value in zip(found, self.values, strict=True):
                kept.append(_samples(value, rows.rows))
        optimiser.zero_grad()
        for kept, value in zip(found, self.values, strict=True):
            if kept:
                setattr(value, "grad_sample", torch.cat(kept))  # noqa: B010  # an attribute that only Opacus knows
        samples = [DenseRows(_samples(value, count)) for value in self.values]
        norms = _norms(samples)
        lost = ~torch.isfinite(norms)
        for value in self.values:
            _samples(value, count)[lost] = 0.0  # an answer that fails says whose row it was
        optimiser.step()
        optimiser.zero_grad()
        return count, loss, int((norms > optimiser.bounds.row).sum())


def _samples(value: Any, rows: int) -> Tensor:
    """A parameter's per-row gradients; zeros where no row reached it, which Opacus takes for a mistake."""
    if value.grad_sample is None:
        value.grad_sample = torch.zeros((rows, *value.shape))
    found: Tensor = value.grad_sample
    return found


def _norms(samples: Sequence[DenseRows]) -> Tensor:
    """Each row's norm over all parameters, float64 [rows]."""
    norms: Tensor = torch.linalg.vector_norm(torch.stack([sample.norms() for sample in samples]), dim=0)
    return norms


def _within(vector: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """The vector scaled down to the bound; zeros where the steps led beyond all numbers, noise and all."""
    norm = float(np.linalg.norm(vector))
    if not math.isfinite(norm):
        return np.zeros_like(vector)
    return vector * (bound / norm) if norm > bound else vector
