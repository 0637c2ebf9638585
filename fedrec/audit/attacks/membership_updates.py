"""Interaction-level membership inference: which items did the user of this update interact with?

Yuan et al. 2023, "Interaction-level Membership Inference Attack Against Federated Recommender Systems": the server
simulates the update of a user who interacted with items it supposes, compares it with the update it received, and
supposes better ones.  There an item is relabelled where its embedding moved otherwise; a content model has no
embedding an item, so here the memberships of all items are weights, improved together by gradient matching.

What makes it work on a two-tower model: the gradient of any loss of dot products pulls all candidates along one
direction, the user's vector (positives against it, negatives along it), and all items of the history along another.
Both can be read off the update, whose matrices have rank two but for the items' own normalisation; what is left is a
sparse combination of known content features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.audit.attacks.matching import MatchedInput, Unknown, match
from fedrec.errors import ModelError
from fedrec.model.parameters import shapes, shared_parameters
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch

_TINY = 1e-9
_PILOT = 40


@dataclass(frozen=True, eq=False)
class SupposedUser:
    """Simulates the update of a user with supposed interactions, notes and photos, differentiable in all of them.

    Args:
        model: at the parameters that the server sent; without hooks.
        items: the whole catalogue as one row.
        pool: the places of the round's negatives.
        own: what the user may have written or photographed, by modality ("text": notes, "image": photos): features
            [candidates, width], of which a sparse combination is looked for.
        sparsity: what a unit of weight costs, in units of cosine.
    """

    model: Recommender
    items: ItemBatch
    pool: NDArray[np.int32]
    own: Mapping[str, Tensor] = field(default_factory=dict)
    sparsity: float = 0.003
    _places: Tensor = field(init=False)
    _vectors: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", torch.from_numpy(self.pool.astype(np.int64)))
        # Nothing that is looked for changes what items are, so they are encoded once, and not at every step.
        vectors = {"": self.model.encode_items(self.items)[0]} | {name: self._own(name) for name in self.own}
        object.__setattr__(self, "_vectors", vectors)

    def read(self, observed: NDArray[np.floating]) -> NDArray[np.float64]:
        """What of an update [P] the simulation explains: the parameters that item vectors depend on.

        Raises:
            ModelError: an update of another model.
        """
        if observed.shape != (sum(value.numel() for value in shared_parameters(self.model).values()),):
            raise ModelError("an update of another model", value=observed.shape)
        return np.concatenate([observed[start:end] for start, end in self._reached()]).astype(np.float64)

    def start(self, observed: NDArray[np.floating]) -> dict[str, Tensor]:
        """Nothing known but the two directions in which the update moves item vectors.

        The stronger one is the history's: its sign makes the weights of the history positive.  The user's has either
        sign; `infer` settles it.
        """
        dimension = self.model.dimension
        rows = [
            observed[start:end].reshape(dimension, -1)
            for (start, end), shape in zip(self._reached(), self._reached_shapes(), strict=True)
            if shape[0] == dimension
        ]
        stacked = np.concatenate(rows, 1)
        left, _, _ = np.linalg.svd(stacked, full_matrices=False)
        # A bias sees every item as 1, so its gradient is along the history's pull.
        bias = np.sum([row[:, 0] for row in rows if row.shape[1] == 1], axis=0) if rows else stacked.sum(1)
        pull = left[:, 0] * (np.sign(left[:, 0] @ bias) or 1.0)
        count = self.items.items
        return {
            "history": torch.full((count,), 0.03),
            "positives": torch.full((count,), 0.03),
            "negatives": torch.full((len(self.pool),), 0.1),
            "pull": torch.from_numpy(pull).float(),
            "user": torch.from_numpy(left[:, 1]).float(),
            **{name: torch.full((len(values),), 0.03) for name, values in self.own.items()},
            **({"own pull": torch.from_numpy(pull).float()} if self.own else {}),
        }

    def update(self, unknown: Unknown) -> Tensor:
        """The simulated update, as `read` reads one. Weights are the squares of their unknowns, so never negative."""
        user, pull = (unknown[name] / unknown[name].norm() for name in ("user", "pull"))
        upstream = (unknown["history"] ** 2).unsqueeze(1) * pull - (unknown["positives"] ** 2).unsqueeze(1) * user
        upstream = upstream.index_add(0, self._places, (unknown["negatives"] ** 2).unsqueeze(1) * user)
        moved = [upstream]
        for name in self.own:
            along = unknown["own pull"] / unknown["own pull"].norm()
            moved.append((unknown[name] ** 2).unsqueeze(1) * along)
        pieces = torch.autograd.grad(list(self._vectors.values()), self._parameters(), moved, create_graph=True)
        return torch.cat([piece.flatten() for piece in pieces])

    def profile(self, unknown: Unknown) -> Tensor:
        """The user's vector [dimension] that the supposed history makes, of any length."""
        return (unknown["history"].square().unsqueeze(1) * self._vectors[""].detach()).sum(0)

    def cost(self, unknown: Unknown) -> Tensor:
        """The price of weights: few interactions explain a row."""
        weights = [unknown[name].square().sum() for name in ("history", "positives", *self.own)]
        return self.sparsity * torch.stack(weights).sum()

    def _own(self, name: str) -> Tensor:
        there = torch.ones((1, len(self.own[name])), dtype=torch.bool)
        return self.model.encode_items(ItemBatch({name: self.own[name].unsqueeze(0)}, {name: there}, there))[0]

    def _names(self) -> list[str]:
        return [name for name in shared_parameters(self.model) if name.startswith(("encoders.", "fusion."))]

    def _parameters(self) -> list[Tensor]:
        found = shared_parameters(self.model)
        return [found[name] for name in self._names()]

    def _reached_shapes(self) -> list[tuple[int, ...]]:
        found = shapes(self.model)
        return [found[name] for name in self._names()]

    def _reached(self) -> list[tuple[int, int]]:
        wanted, found, place = set(self._names()), [], 0
        for name, value in shared_parameters(self.model).items():
            if name in wanted:
                found.append((place, place + value.numel()))
            place += value.numel()
        return found


def infer(
    supposed: SupposedUser,
    observed: NDArray[np.floating],
    *,
    steps: int = 250,
    rate: float = 0.03,
) -> MatchedInput:
    """Find the supposed user whose update is nearest to ``observed`` [P].

    A short pilot tells the sign of the user's vector: it is the one that the history found has itself.

    Raises:
        ModelError: an update of another model, one that is not finite, or all zero.
    """
    target = supposed.read(observed)
    first = supposed.start(observed)
    rates = {name: rate / 2 if name in ("user", "pull", "own pull") else rate for name in first}

    def search(begin: Unknown, count: int) -> MatchedInput:
        return match(supposed.update, target, begin, steps=count, rate=rates, penalty=supposed.cost)

    if not np.any(target):
        raise ModelError("an update that is all zero has nothing to infer from")
    pilot = search(first, _PILOT).found
    sign = 1.0 if float(supposed.profile(pilot) @ first["user"]) >= 0 else -1.0
    return search({**first, "user": sign * first["user"]}, steps)


def memberships(matched: MatchedInput) -> NDArray[np.float64]:
    """Scores [items], higher = rather interacted with: weight as history and as positive, each by its largest."""
    weights = [matched.found[name].double().numpy() ** 2 for name in ("history", "positives")]
    return np.asarray(sum(found / max(float(found.max()), _TINY) for found in weights))
