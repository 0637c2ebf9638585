"""The device's half of a training round: from the broadcast parameters to a clipped gradient sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.accelerator import exact_device, moved
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.objective import Objective
from fedrec.randomness import key
from fedrec.training.augment import Augmenting
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.clipping import ClippedGradients, choose_mode
from fedrec.training.examples import by_example
from fedrec.training.tables import Tables
from fedrec.training.update import Update
from fedrec.users import UserBatch


def row_bound(config: Config, clip: float | None = None) -> float:
    """The L2 bound of one row's gradient, so that one privacy unit moves the sum by at most ``clip`` (as set, or this).

    A user is a row, which is there or not.  An interaction joins the others of its row, and may turn that row's
    gradient around: with a bound of b it moves the sum by up to 2 b.
    """
    return (config.privacy.clip if clip is None else clip) / (2 if config.privacy.unit == "example" else 1)


class Learner:
    """Computes contributions to model updates; holds the model and the catalogue's tables, no user's data.

    One Learner serves any number of users and devices in a process.
    """

    def __init__(self, config: Config, features: Features) -> None:
        self.config = config
        self.model = moved(build_model(config, features), exact_device())
        self.tables = Tables(features)
        self.augmenting = Augmenting(config)
        objective = Objective(self.model, config.training)
        mode = choose_mode(config.speed.grad_sample, objective, flattens_rows=self.model.flattens_rows)
        bound, groups = row_bound(config), config.privacy.groups
        self.gradients = ClippedGradients(objective, lambda losses, _: losses, bound, mode, groups)

    @property
    def rows_at_once(self) -> int:
        """Rows of a batch: ``speed.batch_rows``, or four times as many where a row has item vectors but no features.

        One stays one: a device computes each row alone, so that no row is rounded with another (`DeviceContext`).
        """
        if self.config.speed.batch_rows == 1:
            return 1
        plain = not (self.augmenting.strength or self.config.training.auxiliary or self.config.training.alignment)
        looked_up = self.gradients.mode == "bookkeeping" and self.model.fuses_tables and plain
        return self.config.speed.batch_rows * (4 if looked_up else 1)

    def update(
        self,
        population: UserBatch,
        values: NDArray[np.float32],
        pool: NDArray[np.int32],
        round_number: int,
        clip: float | None = None,
        inclusion: NDArray[np.float32] | None = None,
    ) -> Update:
        """One round: for every row its gradient at ``values`` [P], clipped to `row_bound` of ``clip``, summed.

        A population without events gives the zero vector, as long as any other.  ``inclusion``: see `build_rows`.

        Raises:
            ModelError: parameters of another model.
        """
        parameters.unflatten(self.model, values)
        settings = self.config
        self.gradients.bound = row_bound(settings, clip)
        groups = settings.training.examples if settings.privacy.unit == "example" else 1
        shape = RowShape(
            settings.training.positives, settings.model.history, settings.model.notes, settings.model.photos
        )
        if settings.privacy.unit == "example":
            population = by_example(population, groups, key(settings.run.seed, "example groups"))
            shape = RowShape(positives=1, history=settings.model.history)
        total = np.zeros(len(values))
        rows_seen, loss, clipped = 0, 0.0, 0
        batches = build_rows(
            population,
            self.tables,
            pool,
            shape,
            key=key(settings.run.seed, "rows", round_number),
            batch_rows=self.rows_at_once,
            inclusion=inclusion,
            augment=self.augmenting.of(round_number),
        )
        for gradient, norms, batch_loss in self.gradients.sums(batches):
            total += gradient
            rows_seen += len(norms)
            loss += batch_loss
            clipped += int((norms > self.gradients.bound).sum())
        return Update(total, rows_seen, loss, clipped)
