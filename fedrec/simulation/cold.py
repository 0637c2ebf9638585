"""Cold items: a share of the catalogue that training never meets, and how well it is ranked all the same.

Of an item that nobody has used only its content speaks: the content tower, and the content prior in the behaviour
table.  Where behaviour knows nothing it gives all cold items the same score, which changes no order among them; so they
are ranked among themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.data.splits import NEGATIVES, Split
from fedrec.queries.cold_items import cold_items
from fedrec.randomness import key, prf_uint64
from fedrec.ranking import metrics
from fedrec.ranking.metrics import Standing
from fedrec.ranking.score import Scorer, users_at_once
from fedrec.users import Histories, UserBatch, pointers_of

K: Final = 10


def without_cold(
    config: Config, held: Split, catalogue: int, item_of: NDArray[np.int32]
) -> tuple[Split, Histories | None]:
    """The split without its cold items in anybody's training, and which of them each user really had.

    ``item_of``: int32 [rows], the item of each row of the data set's interactions.

    A cold validation item is dropped: nothing of a cold item is ever in a history.  A cold test item stays held out,
    as the unseen item that it is; while tuning (``evaluation.split = "valid"``) it does not count as used.
    """
    if not config.evaluation.cold:
        return held, None
    cold = np.zeros(catalogue + 1, dtype=np.bool_)  # the last place stands for "no item", -1
    cold[cold_items(config, catalogue)] = True
    users = len(held.valid)
    out = cold[held.training.items]
    valid = np.where(cold[held.valid], -1, held.valid).astype(np.int32)
    kept = replace(
        held,
        training=held.training.where(~out),
        rows=held.rows[~out],
        valid=valid,
        rated=held.rated[~cold[item_of[held.rated]]],
    )
    late = [held.valid] if config.evaluation.split == "valid" else [held.valid, held.test]
    people = np.concatenate([held.training.owners[out], *(np.flatnonzero(cold[items]) for items in late)])
    things = np.concatenate([held.training.items[out], *(items[cold[items]] for items in late)])
    order = np.argsort(people, kind="stable")
    used = pointers_of(np.bincount(people, minlength=users))
    return kept, Histories(used, things[order].astype(np.int32))


def cold_quality(
    config: Config, scorer: Scorer, known: UserBatch, used: Histories, keys: NDArray[np.uint64]
) -> dict[str, float | int | None]:
    """HR@10 and NDCG@10 of every cold item that a user really had, against 99 cold items that the user did not have.

    Args:
        scorer, known: what devices rank with. used: each user's cold items. keys: uint64 [users], decide the negatives.

    Returns:
        Means over users of the mean over each one's items, so that nobody counts twice; ``chance``: HR@10 of a random
        order, above .10 where there are fewer than 99 negatives; ``times_chance``: the one over the other.
    """
    cold = cold_items(config, scorer.items)
    blocks = list(_blocks(config, scorer, known, used, keys, cold))
    at = Standing.join([standing for _, standing in blocks])
    owners = np.concatenate([np.zeros(0, dtype=np.int64), *(users for users, _ in blocks)])
    hits = _by_user(owners, metrics.hit_rate(at, K))
    mean = {
        f"hr@{K}": _mean(hits),
        f"ndcg@{K}": _mean(_by_user(owners, metrics.ndcg(at, K))),
        f"hr@{K}-error": float(hits.std(ddof=1) / np.sqrt(len(hits))) if len(hits) > 1 else None,
        "chance": _mean(_by_user(owners, np.minimum(1.0, K / at.candidates))),
    }
    found, chance = mean[f"hr@{K}"], mean["chance"]
    times = None if found is None or chance is None else found / chance
    return {"items": len(cold), "users": len(hits), "pairs": len(owners), **mean, "times_chance": times}


def _blocks(
    config: Config,
    scorer: Scorer,
    known: UserBatch,
    used: Histories,
    keys: NDArray[np.uint64],
    cold: NDArray[np.int32],
) -> Iterator[tuple[NDArray[np.int64], Standing]]:
    """The owners of all (user, cold item) pairs of a block of users, and how each pair stands."""
    column = np.full(scorer.items, -1, dtype=np.int64)
    column[cold] = np.arange(len(cold))
    secret = key(config.run.seed, "cold negatives")
    having = np.flatnonzero((used.lengths > 0) & (used.lengths < len(cold)))
    step = users_at_once(scorer.items)
    for start in range(0, len(having), step):
        users = having[start : start + step]
        scores = scorer.parts_of(known.take(users)).total[:, cold]
        mine = used.take(users)
        rows, columns = mine.owners, column[mine.items]
        had = np.zeros(scores.shape, dtype=np.bool_)
        had[rows, columns] = True
        drawn = prf_uint64(secret, np.repeat(keys[users], len(cold)), np.tile(cold.astype(np.uint64), len(users)))
        order = np.argsort(np.where(had, np.inf, drawn.reshape(scores.shape).astype(np.float64)), axis=1)
        negatives = order[:, :NEGATIVES]
        against = np.take_along_axis(scores, negatives, axis=1)
        real = ~np.take_along_axis(had, negatives, axis=1)
        yield users[rows], metrics.standing(scores[rows, columns], against[rows], real[rows])


def _by_user(owners: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each user's values: float64 [users that have any]."""
    counts = np.bincount(owners)
    return np.asarray(np.bincount(owners, weights=values)[counts > 0] / counts[counts > 0])


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
