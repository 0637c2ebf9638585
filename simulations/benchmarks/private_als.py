"""Private alternating least squares, our own reading of it in numpy: a rival, not a part of fedrec.

Chien, Jain, Krichene, Rendle, Song, Thakurta and Zhang 2021, "Private Alternating Least Squares": users solve for their
own vectors and keep them; the item vectors come from noisy sums over users of u u^T and u.  Krichene, Jain, Song,
Thakurta and Zhang 2023, "Multi-Task Differential Privacy Under Distribution Skew": a user's interactions weigh by a
private count to the power -1/4 and are bounded together.  Curmei, Krichene, Zhang and Sundararajan 2023, "Private
Matrix Factorization with Public Item Features": the items' public features are factorised beside.

Guarantee: user level.  Everything that depends on users is a `released` sum whose L2 norm changes by at most 1 when one
user's data is replaced by nothing; with Gaussian noise and every user in every sum the releases compose exactly
(`noise_multipliers`).  What a user ranks with, its own vector, never leaves it.  Not protected: the choice of settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from fedrec.config.base import Settings
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import gaussian_noise
from fedrec.randomness import gaussian, key
from fedrec.users import Histories

Floats = NDArray[np.float64]
_LEAST_COUNT = 0.05


class AlsSettings(Settings):
    """Settings of one run; vectors of items have a mean squared length of 1 when users solve for theirs."""

    rank: int = Field(default=20, ge=1, description="width of the vectors")
    sweeps: int = Field(default=3, ge=1, description="how often item vectors are asked for; each is one noisy sum")
    head: int = Field(default=2000, ge=1, description="so many items, by private count, get vectors of their own")
    popularity_share: float = Field(default=0.03, gt=0, lt=1, description="part of the budget, in 1/z^2, for counts")
    gram_share: float = Field(default=0.0, ge=0, lt=1, description="part of a sweep's bound for each item's u u^T")
    whole_share: float = Field(default=0.03, gt=0, lt=1, description="part of a sweep's bound for all users' u u^T")
    clip: float = Field(default=0.5, gt=0, description="a user's vector is cut to this length before it is summed")
    item_unobserved: float = Field(default=0.0001, ge=0, description="weight of what is not observed, items' step")
    item_ridge: float = Field(default=1000.0, gt=0, description="ridge of the items' step")
    user_unobserved: float = Field(default=0.15, ge=0, description="weight of what is not observed, users' step")
    user_ridge: float = Field(default=0.3, gt=0, description="ridge of the users' step")
    item_ridge_power: float = Field(default=0.4, ge=0, le=1, description="that ridge grows by (count/mean count)^this")
    user_ridge_power: float = Field(default=0.0, ge=0, le=1, description="that ridge grows by interactions^this")
    item_power: float = Field(default=0.4, ge=0, le=1, description="interactions weigh count^-this in sums")
    user_power: float = Field(default=0.0, ge=0, le=1, description="interactions weigh count^-this in users' step")
    short: int = Field(default=1, ge=1, description="users with fewer interactions weigh less in sums")
    short_power: float = Field(default=0.0, ge=0, le=1, description="by (interactions/short)^this")
    popularity_weight: float = Field(default=0.05, ge=0, description="weight of the log of private counts in scores")
    features: float = Field(default=0.0, ge=0, description="weight of the public features' own factorisation")
    recency: float = Field(default=0.0, ge=0, description="when ranking, an interaction of age a weighs (1+a)^-this")


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """What is released: ``vectors`` [items, rank], 0 outside the head where there are no features; ``counts`` [items],
    the private counts, above 0; ``head`` the places of the items with vectors of their own."""

    vectors: Floats
    counts: Floats
    head: NDArray[np.int64]


def noise_multipliers(settings: AlsSettings, epsilon: float | None, delta: float) -> tuple[float, float]:
    """z of the sum of counts and of each sweep's sum; 0 without an epsilon.

    1/z^2 adds up (Dong, Roth and Su 2022), here to that of one Gaussian release of ``epsilon`` at ``delta``.
    """
    if epsilon is None:
        return 0.0, 0.0
    whole = gaussian_noise(epsilon, delta)
    share = settings.popularity_share
    return whole / math.sqrt(share), whole * math.sqrt(settings.sweeps / (1 - share))


def released(total: Floats, noise_multiplier: float, secret: bytes) -> Floats:
    """A sum that no user moves by more than 1 in L2 norm, with Gaussian noise of that multiplier."""
    return total + noise_multiplier * gaussian(secret, total.size).reshape(total.shape) if noise_multiplier else total


def counts_of(histories: Histories, items: int) -> Floats:
    """Each user adds x/|x|, of length 1: float64 [items]."""
    each = 1 / np.sqrt(np.maximum(histories.lengths, 1))
    return np.asarray(np.bincount(histories.items, each[histories.owners], minlength=items), dtype=np.float64)


def weights_of(histories: Histories, counts: Floats, head: NDArray[np.int64], settings: AlsSettings) -> sp.csr_array:
    """Weights of the interactions with head items, [users, head]: no user's squares add up to more than 1."""
    place = np.full(len(counts), -1)
    place[head] = np.arange(len(head))
    owners, columns = histories.owners, place[histories.items]
    kept = columns >= 0
    owners, columns = owners[kept], columns[kept]
    values = counts[head][columns] ** -settings.item_power
    length = np.sqrt(np.bincount(owners, values**2, minlength=len(histories)))
    few = np.minimum(1.0, (np.bincount(owners, minlength=len(histories)) / settings.short)) ** settings.short_power
    values *= (few / np.maximum(length, 1e-300))[owners]
    return sp.csr_array((values, (owners, columns)), shape=(len(histories), len(head)))


class Layout:
    """Where a sweep's sum holds what: u u^T of each head item, u of each, u u^T of all users, as a flat vector.

    A user whose vector has at most length 1 and whose squared weights add up to at most 1 adds at most length 1: each
    part is within its share of the bound, and symmetric matrices are kept as their upper triangle, times sqrt 2 off the
    diagonal, which keeps lengths.
    """

    def __init__(self, settings: AlsSettings, head: int) -> None:
        if settings.gram_share + settings.whole_share >= 1:
            raise ConfigError("gram_share and whole_share leave nothing for u", action="Make them smaller")
        self.rank, self.head, self.gram = settings.rank, head, settings.gram_share > 0
        self.rows, self.columns = np.triu_indices(settings.rank)
        self._double = np.where(self.rows == self.columns, 1.0, math.sqrt(2.0))
        shares = (settings.gram_share, 1 - settings.gram_share - settings.whole_share, settings.whole_share)
        self._scales = [math.sqrt(share) for share in shares]

    def total(self, users: Floats, weights: sp.csr_array) -> Floats:
        """The sum over users with vectors [users, rank] of length at most 1, and the weights [users, head]."""
        upper = users[:, self.rows] * users[:, self.columns] * self._double
        grams = weights.T @ upper if self.gram else np.zeros((0, 0))
        parts = (grams, weights.T @ users, upper.sum(axis=0))
        return np.concatenate([scale * part.ravel() for scale, part in zip(self._scales, parts, strict=True)])

    def parts(self, total: Floats) -> tuple[Floats | None, Floats, Floats]:
        """The three sums again: [head, rank, rank] or None, [head, rank], [rank, rank]."""
        wide, first = len(self.rows), self.head * len(self.rows) * self.gram
        second = first + self.head * self.rank
        grams = self._matrices(total[:first].reshape(-1, wide) / self._scales[0]) if self.gram else None
        right = total[first:second].reshape(self.head, self.rank) / self._scales[1]
        return grams, right, self._matrices(total[None, second:] / self._scales[2])[0]

    def _matrices(self, upper: Floats) -> Floats:
        found = np.empty((len(upper), self.rank, self.rank))
        found[:, self.rows, self.columns] = found[:, self.columns, self.rows] = upper / self._double
        return found


def user_vectors(found: ItemVectors, histories: Histories, settings: AlsSettings, recency: float = 0.0) -> Floats:
    """Each user's own least squares, on the device: float64 [users, rank]."""
    vectors = found.vectors
    weights = found.counts[histories.items] ** -settings.user_power
    if recency:
        weights = weights * (1.0 + histories.ages()) ** -recency
    # Weights of a mean of 1 over a user's interactions, so that the ridge means the same to all.
    weights *= (histories.lengths / np.maximum(_sums(histories, weights), 1e-300))[histories.owners]
    always = settings.user_unobserved * vectors.T @ vectors
    ridge = settings.user_ridge * np.maximum(histories.lengths, 1) ** settings.user_ridge_power
    left = np.empty((len(histories), settings.rank, settings.rank))
    right = np.empty((len(histories), settings.rank))
    for user in range(len(histories)):
        own = slice(histories.indptr[user], histories.indptr[user + 1])
        mine = vectors[histories.items[own]]
        weighted = weights[own, None] * mine
        left[user] = always + mine.T @ weighted
        right[user] = weighted.sum(axis=0)
    left[:, np.arange(settings.rank), np.arange(settings.rank)] += ridge[:, None]
    return np.asarray(np.linalg.solve(left, right[:, :, None])[:, :, 0])


def train(
    histories: Histories,
    items: int,
    settings: AlsSettings,
    *,
    epsilon: float | None,
    delta: float,
    seed: int,
    features: Floats | None = None,
) -> ItemVectors:
    """Item vectors from private sums over the users' training items.

    Args:
        histories: the users' training items.
        items: how many the catalogue holds.
        settings: of the method.
        epsilon: of the whole, user level; None = no noise.
        delta: of the whole.
        seed: of the noise and the first vectors.
        features: public, [items, width]; needed where ``settings.features`` is above 0.

    Raises:
        ConfigError: features are wanted and not given, or shares leave nothing.
        PrivacyError: no noise meets the budget.
    """
    if settings.features and features is None:
        raise ConfigError("features have a weight but are not given", value=settings.features)
    content = None if not settings.features or features is None else _unit(features)
    first, each = noise_multipliers(settings, epsilon, delta)
    # Each user adds x/|x|, so only the counts' ratios are used; what is below the noise is told apart from nothing.
    counts = released(counts_of(histories, items), first, key(seed, "als", "counts"))
    counts = np.maximum(counts, max(first, _LEAST_COUNT))
    head = np.sort(np.argsort(-counts, kind="stable")[: settings.head])
    weights = weights_of(histories, counts, head, settings)
    vectors = np.zeros((items, settings.rank))
    vectors[head] = np.random.default_rng(seed).normal(size=(len(head), settings.rank))  # public, not for privacy
    if content is not None:
        vectors[:, : min(settings.rank, content.shape[1])] = content[:, : settings.rank]
    found = ItemVectors(_unit(vectors), counts, head)
    layout = Layout(settings, len(head))
    for sweep in range(settings.sweeps):
        users = user_vectors(found, histories, settings) / settings.clip
        users /= np.maximum(np.linalg.norm(users, axis=1, keepdims=True), 1.0)
        parts = layout.parts(released(layout.total(users, weights), each, key(seed, "als", "sweep", sweep)))
        found = ItemVectors(_unit(_solved(found, parts, settings, content)), counts, head)
    return found


def scores_of(
    found: ItemVectors, histories: Histories, settings: AlsSettings, users: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores [users, items] of some users, each by its whole history; made on its device."""
    own = user_vectors(found, histories.take(users), settings, settings.recency)
    popular = settings.popularity_weight * np.log(found.counts)
    return np.asarray(own @ found.vectors.T + popular, dtype=np.float32)


def _solved(
    before: ItemVectors, parts: tuple[Floats | None, Floats, Floats], settings: AlsSettings, content: Floats | None
) -> Floats:
    """The items' step: post-processing of a noisy sum and of public features."""
    grams, right, whole = parts
    rank, head = settings.rank, before.head
    found = np.zeros_like(before.vectors)
    common = settings.item_unobserved * whole
    ridge = settings.item_ridge * (before.counts / before.counts[head].mean()) ** settings.item_ridge_power
    sums = np.zeros((len(found), rank))
    sums[head] = right
    public = np.zeros((rank, rank))
    if content is not None:
        vectors = before.vectors
        loads = np.linalg.solve(vectors.T @ vectors + np.eye(rank), vectors.T @ content)
        public = settings.features * loads @ loads.T
        sums += settings.features * content @ loads.T
        found = sums @ np.linalg.inv(_positive(common[None], ridge[head].min(keepdims=True))[0] + public)
    each = np.broadcast_to(common, (len(head), rank, rank)) if grams is None else grams + common
    solved = np.linalg.solve(_positive(each, ridge[head]) + public, sums[head][:, :, None])
    found[head] = solved[:, :, 0]
    return found


def _positive(matrices: Floats, ridges: Floats) -> Floats:
    """The nearest positive matrices [n, rank, rank], and a ridge each: noise may have made eigenvalues negative."""
    if len(matrices) > 1 and not matrices.strides[0]:  # all the same
        common = _positive(matrices[:1], np.zeros(1))[0]
        return np.asarray(common + ridges[:, None, None] * np.eye(len(common)))
    values, directions = np.linalg.eigh(matrices)
    kept = np.maximum(values, 0.0) + ridges[:, None]
    return np.asarray((directions * kept[:, None, :]) @ directions.transpose(0, 2, 1))


def _sums(histories: Histories, values: Floats) -> Floats:
    return np.asarray(np.bincount(histories.owners, values, minlength=len(histories)), dtype=np.float64)


def _unit(vectors: Floats) -> Floats:
    """Vectors whose mean squared length, of those that are not 0, is 1."""
    squares = (vectors**2).sum(axis=1)
    there = squares > 0
    return vectors / math.sqrt(max(float(squares[there].mean()) if there.any() else 0.0, 1e-300))
