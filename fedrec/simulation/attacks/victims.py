"""Who is attacked, and what is asked about them in a way that popularity does not answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.audit.attacks.figures import auc
from fedrec.config import Config
from fedrec.users import UserBatch

# A pair of items counts as equally popular within this difference of log(1 + users).
_ALIKE = 0.2


@dataclass(frozen=True, eq=False)
class AskedItems:
    """The items asked about one victim: half interacted with, half not, paired by popularity. Both int64 [pairs]."""

    interacted: NDArray[np.int64]
    untouched: NDArray[np.int64]

    def auc(self, scores: NDArray[np.floating]) -> float:
        """How well scores [items] part the two; 0.5 for whoever knows only how popular an item is."""
        both = np.concatenate([self.interacted, self.untouched])
        return auc(scores[both], np.arange(len(both)) < len(self.interacted))


def paired_by_popularity(
    population: UserBatch, user: int, positives: NDArray[np.integer], catalogue: int, rng: np.random.Generator
) -> AskedItems:
    """Pair each of a user's items with one that as many *other* users touched and this user did not.

    Most interactions are with popular items, so scores that know nothing of a user but order items by popularity
    would part interactions from items drawn at random well (an AUC near 0.85 on MovieLens).  Items without a partner
    are not asked about.
    """
    own = population.histories[user]
    others = np.bincount(population.histories.items, minlength=catalogue).astype(np.float64)
    others[own] -= 1
    level = np.log1p(others)
    free = np.setdiff1d(np.arange(catalogue), own)
    level_free = level[free].copy()
    pairs: list[tuple[int, int]] = []
    for item in rng.permutation(np.asarray(positives, np.int64)):
        gap = np.abs(level_free - level[item])
        alike = np.flatnonzero(gap <= max(float(gap.min(initial=np.inf)), 1e-9))
        if not len(alike) or gap[alike[0]] > _ALIKE:
            continue
        chosen = int(rng.choice(alike))
        pairs.append((int(item), int(free[chosen])))
        level_free[chosen] = np.inf
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return AskedItems(found[:, 0], found[:, 1])


def row_of(population: UserBatch, user: int, config: Config, number: int) -> NDArray[np.int32]:
    """The items that a user's row of a training round holds: positives and history, as `build_rows` picks them."""
    items = population.histories[user]
    key = randomness.key(config.run.seed, "rows", number)
    drawn = randomness.prf_uint64(key, population.sampling_keys[[user]], items.astype(np.uint64))
    learned = min(config.training.positives, max(1, len(items) // 2))
    return items[np.argsort(drawn, kind="stable")][: learned + config.model.history]


def choose_victims(population: UserBatch, count: int, least: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to ``count`` users, drawn from those with at least so many events."""
    able = np.flatnonzero(population.histories.lengths >= least)
    return np.sort(rng.choice(able, min(count, len(able)), replace=False))
