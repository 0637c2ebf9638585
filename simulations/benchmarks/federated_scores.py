"""Federated training with personal score functions, our own implementation in numpy: a rival, not a part of fedrec.

Zhang, Long, Zhou, Yan, Zhang, Zhang and Yang 2023, "Dual Personalization on Federated Recommendation" (PFedRec): the
item vectors are shared, every user has a score function of its own (here as there one linear layer on the item vector)
that never leaves the device, and the server averages what each device did to the item vectors.  Before a user ranks,
its score function is fitted once more to the item vectors of the last round.

With noise it is federated averaging with user-level differential privacy (McMahan, Ramage, Talwar and Zhang 2018,
"Learning Differentially Private Recurrent Language Models"): a device's change is cut to an L2 norm of 1, the sum gets
Gaussian noise, every device is in every round, so that rounds compose exactly.  Not protected: the choice of settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from fedrec.config.base import Settings
from fedrec.privacy.accountant import gaussian_noise
from fedrec.randomness import gaussian, key
from fedrec.users import Histories
from simulations.benchmarks.private_als import released

Floats = NDArray[np.float32]
_USERS = 256  # users whose samples are in memory at a time


class ScoresSettings(Settings):
    """Settings of one run."""

    dimension: int = Field(default=16, ge=1, description="width of item vectors and score functions")
    rounds: int = Field(default=20, ge=1, description="every device is in every round")
    negatives: int = Field(default=4, ge=1, description="items that the user lacks, drawn for each that it has")
    user_steps: int = Field(default=2, ge=1, description="gradient steps of the score function a round")
    user_rate: float = Field(default=1.0, gt=0, description="rate of those steps")
    user_decay: float = Field(default=0.0, ge=0, description="L2 penalty on the score function")
    item_rate: float = Field(default=300.0, gt=0, description="rate of the item vectors, of the mean of the changes")
    spread: float = Field(default=0.1, gt=0, description="standard deviation of the first vectors")
    final_steps: int = Field(default=10, ge=0, description="steps of the score function before ranking")


class Devices:
    """All devices' own state: score functions [users, dimension] and biases [users]."""

    def __init__(self, histories: Histories, items: int, settings: ScoresSettings, seed: int) -> None:
        self.histories, self.items, self.settings = histories, items, settings
        self.seed, self.asked = seed, 0
        first = np.random.default_rng([seed, 2]).normal(size=settings.dimension) / math.sqrt(settings.dimension)
        self.scores = np.tile(first.astype(np.float32), (len(histories), 1))
        self.biases = np.zeros(len(histories), np.float32)

    def samples(self) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.int64], Floats]]:
        """Blocks of users: their slice, and of each sample the user's place in it, the item, and the label."""
        ratio = self.settings.negatives
        self.asked += 1
        for start in range(0, len(self.histories), _USERS):
            stop = min(start + _USERS, len(self.histories))
            block = self.histories.take(np.arange(start, stop))
            has = np.zeros((stop - start, self.items), np.bool_)
            has[block.owners, block.items] = True
            owners = np.repeat(block.owners, ratio)
            generator = np.random.default_rng([self.seed, 1, self.asked, start])  # of samples, not for privacy
            drawn = generator.integers(self.items, size=len(owners))
            owners, drawn = owners[~has[owners, drawn]], drawn[~has[owners, drawn]]
            both = np.concatenate([block.owners, owners])
            order = np.argsort(both, kind="stable")
            labels = np.concatenate([np.ones(len(block.items), np.float32), np.zeros(len(owners), np.float32)])
            yield slice(start, stop), both[order], np.concatenate([block.items, drawn])[order], labels[order]

    def fit(self, users: slice, owners: NDArray[np.int64], rows: Floats, labels: Floats, steps: int) -> Floats:
        """Gradient steps of the users' score functions; what each sample's loss says afterwards: float32 [samples]."""
        scores, biases = self.scores[users], self.biases[users]
        counts = np.bincount(owners, minlength=len(scores)).astype(np.float32)
        each = sp.csr_array((np.ones(len(owners), np.float32), np.arange(len(owners)), _pointers(counts)))
        mean = (1 / np.maximum(counts, 1)).astype(np.float32)
        for _ in range(steps):
            wrong = _wrong(rows, scores, biases, owners, labels)
            slope = (each @ (wrong[:, None] * rows)) * mean[:, None]
            scores -= self.settings.user_rate * (slope + self.settings.user_decay * scores)
            biases -= self.settings.user_rate * (each @ wrong) * mean
        return _wrong(rows, scores, biases, owners, labels)

    def round(self, vectors: Floats) -> Floats:
        """One round: score functions are fitted, and the sum of the bounded changes is what leaves [items, width]."""
        total = np.zeros_like(vectors)
        for users, owners, items, labels in self.samples():
            wrong = self.fit(users, owners, vectors[items], labels, self.settings.user_steps)
            total += bounded(wrong, owners, items, self.scores[users], self.items)
        return total


def bounded(
    wrong: Floats, owners: NDArray[np.int64], items: NDArray[np.int64], scores: Floats, catalogue: int
) -> Floats:
    """The sum over users of their changes of the item vectors, each of an L2 norm of at most 1: [items, width].

    A user's change of an item is how wrong its score is, times the user's score function: so its norm is a product.
    """
    table = sp.csr_array((-wrong, (owners, items)), shape=(len(scores), catalogue))
    table.sum_duplicates()
    norms = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel()) * np.linalg.norm(scores, axis=1)
    return np.asarray(table.T @ (scores / np.maximum(norms, 1.0)[:, None]), dtype=np.float32)


def train(
    histories: Histories,
    items: int,
    settings: ScoresSettings,
    *,
    epsilon: float | None,
    delta: float,
    seed: int,
) -> tuple[Floats, Devices]:
    """Item vectors [items, dimension] after all rounds, and the devices' own state.

    Args:
        histories: the users' training items.
        items: how many the catalogue holds.
        settings: of the method.
        epsilon: of the whole, user level; None = no noise (changes are bounded all the same).
        delta: of the whole.
        seed: of the first vectors, the samples and the noise.
    """
    devices = Devices(histories, items, settings, seed)
    first = gaussian(key(seed, "scores", "first"), items * settings.dimension).reshape(items, -1)
    vectors = (settings.spread * first).astype(np.float32)
    each = 0.0 if epsilon is None else gaussian_noise(epsilon, delta) * math.sqrt(settings.rounds)
    for number in range(settings.rounds):
        noisy = released(devices.round(vectors).astype(np.float64), each, key(seed, "scores", "round", number))
        vectors = vectors + np.float32(settings.item_rate / len(histories)) * noisy.astype(np.float32)
    return vectors, devices


def ready(vectors: Floats, devices: Devices, histories: Histories) -> Devices:
    """The devices once more, with what they know when they rank: score functions fitted to the last item vectors."""
    devices.histories = histories
    steps = devices.settings.final_steps
    for users, owners, items, labels in devices.samples():
        devices.fit(users, owners, vectors[items], labels, steps)
    return devices


def _wrong(rows: Floats, scores: Floats, biases: Floats, owners: NDArray[np.int64], labels: Floats) -> Floats:
    """The slope of the logistic loss by the score: probability less label."""
    logits = np.einsum("sd,sd->s", rows, scores[owners]) + biases[owners]
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))) - labels, dtype=np.float32)


def _pointers(counts: Floats) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
