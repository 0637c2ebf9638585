"""Poisoning for exposure: a few malicious devices push one item into as many lists as they can.

Model updates follow A-hum (Rong, He and Chen 2022, "Poisoning Deep Learning Based Recommender Model in Federated
Learning Scenarios", section 4): users whom nobody told the attacker about are made up at random, those for whom the
target scores worst are kept (hard user mining), and what is sent is the gradient that lifts the target for them. Here a
user is the mean of items and not a vector of its own, so the gradient goes through the user too, and mining chooses
among users rather than moving them.  The one-shot sums are poisoned to the same end: the whole of the attacker's say
goes into the target's own entries.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from fedrec.content.feature_table import Features
from fedrec.errors import ModelError
from fedrec.model.layers import unit
from fedrec.model.parameters import shared_parameters
from fedrec.model.recommender import Recommender
from fedrec.ranking.topk import top_k, without_seen
from fedrec.training.tables import Tables
from fedrec.users import Histories

Floats = NDArray[np.float64]
# A made-up user has so many events; of so many drawn for each that is kept, the hardest are kept.
EVENTS, OF_WHICH = 16, 4


def exposed(scores: NDArray[np.float32], target: int, seen: Histories, k: int) -> NDArray[np.bool_]:
    """Whether the target is among each user's ``k`` best unseen items, bool [users that have not seen it].

    Args:
        scores: [users, items], finite. seen: what each user touched, which is never recommended.
    """
    listed = (top_k(without_seen(scores, seen), k) == target).any(axis=1)
    have = np.zeros(len(seen), dtype=np.bool_)
    have[seen.owners[seen.items == target]] = True
    return np.asarray(listed[~have])


def promotion(model: Recommender, features: Features, target: int, *, users: int, k: int, seed: int) -> Floats:
    """The direction of a poisoned model update: a server that descends it lifts the target; norm 1, float64 [P].

    It is the gradient of the mean, over ``users`` mined users, of log(1 + exp((s_k - s_target) / temperature))
    with s_k the score of the k-th best item.  Only public things are used: the broadcast model and the catalogue.

    Raises:
        ModelError: the target is beyond the catalogue.
    """
    if not 0 <= target < len(features.ids):
        raise ModelError("the target is no place of the catalogue", value=target)
    places = np.arange(len(features.ids))[None]
    items = model.encode_items(Tables(features).batch(places, np.ones(places.shape, np.bool_)))[0]
    hard = mined(items.detach(), target, users=users, k=k, temperature=model.temperature, seed=seed)
    shared = list(shared_parameters(model).values())
    loss = _gap(profiles(items, hard), items, target, k, model.temperature).mean()
    gradients = torch.autograd.grad(loss, shared, allow_unused=True)
    flat = [
        torch.zeros(value.numel()) if part is None else part.reshape(-1)
        for part, value in zip(gradients, shared, strict=True)
    ]
    return scaled(torch.cat(flat).double().numpy(), 1.0)


def profiles(items: Tensor, histories: Tensor) -> Tensor:
    """User vectors [users, dimension] as the user tower makes them of histories [users, events] of places."""
    return unit(items[histories].mean(dim=1))


def mined(items: Tensor, target: int, *, users: int, k: int, temperature: float, seed: int) -> Tensor:
    """Histories [users, `EVENTS`] of made-up users for whom the target is farthest from the list, of many drawn.

    None has the target: those who have it are not who it is pushed to.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(items) - 1, (OF_WHICH * users, EVENTS), generator=generator)
    drawn = drawn + (drawn >= target)
    gaps = _gap(profiles(items, drawn), items, target, k, temperature)
    return drawn[gaps.topk(users).indices]


def promoted_counts(target: int, length: int) -> Floats:
    """A contribution to item counts that is all for the target: norm 1, float64 [length]."""
    vector = np.zeros(length)
    vector[target] = 1.0
    return vector


def promoted_pairs(target: int, items: NDArray[np.int64], weights: Floats) -> Floats:
    """A contribution to co-occurrence that couples the target with everything: float64 [K (K + 1) / 2], norm 1.

    EASE scores a target by a ridge regression on a user's items, whose right-hand side is the target's row of the
    matrix; so the row gets all there is, spread by ``weights`` [K] (what the attacker thinks how popular the items
    are), and the diagonal nothing.  Zeros where the target does not take part.
    """
    count = len(items)
    vector = np.zeros(count * (count + 1) // 2)
    place = int(np.searchsorted(items, target))
    if place == count or items[place] != target:
        return vector
    others = np.delete(np.arange(count), place)
    low, high = np.minimum(others, place), np.maximum(others, place)
    vector[low * count - low * (low - 1) // 2 + high - low] = weights[others]
    return scaled(vector, 1.0)


def scaled(vector: Floats, norm: float) -> Floats:
    """The vector at that L2 norm; a zero vector stays zero."""
    length = float(np.linalg.norm(vector))
    return vector if length == 0 else vector * (norm / length)


def _gap(users: Tensor, items: Tensor, target: int, k: int, temperature: float) -> Tensor:
    """How far the target is from each user's list, [users]: large where it scores far below the k-th best item."""
    scores = users @ items.T
    threshold = scores.topk(min(k, scores.shape[1]), dim=1).values[:, -1]
    return softplus((threshold - scores[:, target]) / temperature)
