"""Personalisation on the device: a user's own vector, trained on the user's own events against the frozen shared model.

The vectors never leave; they are the private part of the split that the model declares (Singhal et al. 2021,
"Federated Reconstruction", section 3, with the user vector as the local part).
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.config import Loss
from fedrec.errors import ModelError
from fedrec.model.adapter import Adapter
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch, Rows
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.tables import Tables
from fedrec.users import UserBatch

# Pull towards zero, so that a user with two events stays near what the shared model says.
DECAY = 0.1


def personalise(
    model: Recommender,
    population: UserBatch,
    tables: Tables,
    pool: NDArray[np.int32],
    shape: RowShape,
    *,
    loss: Loss,
    steps: int,
    learning_rate: float = 0.05,
    key: bytes,
    batch_rows: int = 256,
) -> NDArray[np.float32]:
    """Adapters of all users, float32 [users, dimension]; zero for a user without events.

    Each user's vector is trained on that user's rows alone (other positives and histories each step), so it is the
    same whether the user is alone on a device or among others.  The model is only read.

    Raises:
        ModelError: ``steps`` is below 1, or a vector does not stay finite.
    """
    if steps < 1:
        raise ModelError("personalisation needs at least 1 step", value=steps, action="Set training.personal_steps")
    adapters = torch.zeros(len(population), model.dimension)
    having = torch.from_numpy(np.flatnonzero(population.histories.lengths > 0))
    for step in range(steps):
        draw = hashlib.sha256(b"fedrec personal step" + key + step.to_bytes(4, "big")).digest()
        start = 0
        for rows in build_rows(population, tables, pool, shape, key=draw, batch_rows=batch_rows):
            users = having[start : start + rows.rows]
            adapters[users] = _step(model, rows, adapters[users], loss, learning_rate)
            start += rows.rows
    if not bool(torch.isfinite(adapters).all()):
        raise ModelError("a private vector is not finite", action="Lower the learning rate of personalisation")
    return adapters.numpy()


def _step(model: Recommender, rows: Rows, vectors: Tensor, loss: Loss, learning_rate: float) -> Tensor:
    with torch.no_grad():
        users, candidates = _encoded(model, rows)
    adapter = Adapter(vectors)
    logits = model.score(adapter(users), candidates)
    objective = loss_per_row(loss, logits, rows).sum() + DECAY / 2 * adapter.vectors.square().sum()
    (gradient,) = torch.autograd.grad(objective, adapter.vectors)
    # A step has at most the length of the learning rate, however steep the loss is at the start.
    length = gradient.norm(dim=1, keepdim=True).clamp(min=1.0)
    stepped: Tensor = (vectors - learning_rate * gradient / length).detach()
    return stepped


def _encoded(model: Recommender, rows: Rows) -> tuple[Tensor, Tensor]:
    def source(part: ItemBatch | None, wanted: bool) -> tuple[Tensor, Tensor] | None:
        return (model.encode_items(part), part.mask) if part is not None and wanted else None

    users = model.encode_user(
        model.encode_items(rows.history),
        rows.history.mask,
        source(rows.notes, model.settings.notes),
        source(rows.photos, model.settings.photos),
        rows.context,
    )
    return users, model.encode_items(rows.candidates)
