"""Interaction-level membership inference: which items did the user of this update interact with?

Yuan et al. 2023, "Interaction-level Membership Inference Attack Against Federated Recommender Systems": the server
simulates the update of a user who interacted with items it supposes, compares it with the update it received, and
supposes better ones.  There an item is relabelled where its embedding moved otherwise; a content model has no
embedding a item, so here all items' memberships are relaxed to weights and improved together by gradient matching
(`inversion.match`), which finds the same answer: the interactions that explain the update.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from fedrec import config
from fedrec.audit.attacks.inversion import Matched, Unknown, match
from fedrec.errors import ModelError
from fedrec.model.parameters import shared_parameters
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch

_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class SupposedUser:
    """Simulates the update of a user from supposed memberships, differentiable in them.

    With weights of 0 and 1 the update is, up to its length, the one that the user's device computes.

    Args:
        model: at the parameters that the server sent.
        items: the whole catalogue as one row.
        pool: the places of the round's negatives.
        loss: the loss that devices train with.
    """

    model: Recommender
    items: ItemBatch
    pool: NDArray[np.int32]
    loss: config.Loss
    _places: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", torch.from_numpy(self.pool.astype(np.int64)))

    def update(
        self,
        history: Tensor,
        positives: Tensor,
        touched: Tensor,
        notes: ItemBatch | None = None,
        photos: ItemBatch | None = None,
    ) -> Tensor:
        """The gradient [P] of the row's loss, in the order of the shared parameters.

        Args:
            history: [items], at least 0: how much each item is in the history.
            positives: [items], the same for the positives.
            touched: [pool], 0 to 1: how much each negative of the pool is left out, as interacted with.
            notes, photos: what the user is supposed to have written and photographed, one row.
        """
        parts = [self.items] + [part for part in (notes, photos) if part is not None]
        vectors, *rest = self.model._encode(parts)
        user = self.model.encode_user(
            vectors,
            history.unsqueeze(0),
            None if notes is None else (rest[0], notes.mask),
            None if photos is None else (rest[-1], photos.mask),
        )
        logits = self.model.score(user, vectors)[0]
        loss = relaxed_loss(self.loss, logits, positives, logits[self._places], 1 - touched)
        values = list(shared_parameters(self.model).values())
        pieces = torch.autograd.grad(loss, values, create_graph=True, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(value) if piece is None else piece).flatten()
                for value, piece in zip(values, pieces, strict=True)
            ]
        )


def relaxed_loss(kind: config.Loss, positive: Tensor, chosen: Tensor, negative: Tensor, against: Tensor) -> Tensor:
    """The loss of one row (`model.losses`) with weights instead of masks.

    Args:
        kind: which loss.
        positive, chosen: logits [n] and how much each is a positive, at least 0.
        negative, against: logits [m] and how much each is a negative, 0 to 1.

    Raises:
        ModelError: an unknown kind.
    """
    if kind == "sampled-softmax":
        rest = torch.logsumexp(negative + torch.log(against.clamp(min=_TINY)), 0)
        return _mean(softplus(rest - positive), chosen)
    if kind == "bpr":
        pairs = softplus(negative.unsqueeze(0) - positive.unsqueeze(1))
        return _mean(pairs, chosen.unsqueeze(1) * against.unsqueeze(0))
    if kind == "bce":
        return _mean(softplus(-positive), chosen) + _mean(softplus(negative), against)
    if kind == "mse":
        wrong = (1 - torch.sigmoid(positive)).square()
        return _mean(wrong, chosen) + _mean(torch.sigmoid(negative).square(), against)
    raise ModelError("unknown loss", value=kind, action="Use sampled-softmax, bpr, bce or mse")


def infer_memberships(
    supposed: SupposedUser, observed: NDArray[np.floating], *, steps: int = 200, rate: float = 0.05
) -> tuple[NDArray[np.float64], float]:
    """How much each item of the catalogue looks like an interaction of the user of the update ``observed`` [P].

    Returns:
        Scores [items], higher = rather interacted with; and the cosine of the simulated with the observed update.
    """
    count = supposed.items.items
    start = {
        "history": torch.full((count,), count**-0.5),
        "positives": torch.full((count,), count**-0.5),
        "touched": torch.full((len(supposed.pool),), -3.0),
    }
    matched = match(lambda unknown: simulate(supposed, unknown), observed, start, steps=steps, rate=rate)
    return scores_of(matched, supposed.pool), matched.cosine


def simulate(supposed: SupposedUser, unknown: Unknown) -> Tensor:
    """The update for unknowns of which any number is allowed: weights are their squares, shares their sigmoids."""
    return supposed.update(unknown["history"] ** 2, unknown["positives"] ** 2, torch.sigmoid(unknown["touched"]))


def scores_of(matched: Matched, pool: NDArray[np.int32]) -> NDArray[np.float64]:
    """Memberships [items] from what was matched: the weight as history or positive, as a share of the largest."""
    total = np.zeros(len(matched.found["history"]))
    for name in ("history", "positives"):
        weights = matched.found[name].double().numpy() ** 2
        total += weights / max(float(weights.max()), _TINY)
    return total


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=_TINY)
