"""How a ranker is measured: leave-one-out against 99 negatives, and against everything that the user has not touched.

Scores come in blocks of users, so memory stays bounded. What is no candidate is known from the user's training items
(and the other held-out item) alone. Training must not know `HeldOut` at all: a sampler that spares the target when it
draws training negatives teaches the model that what never was a negative is the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking import lists, metrics
from fedrec.ranking.metrics import Standing
from fedrec.ranking.topk import top_k
from fedrec.users import Histories

Blocks = Iterable[tuple[NDArray[np.integer], NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What is measured for each user of a population.

    Args:
        training: the items that each user touched in training; never candidates.
        target: int32 [users], the item to find; -1 = the user is not measured.
        other: int32 [users], another held-out item (the validation item while testing) that is no candidate; -1 = none.
        negatives: int32 [users, 99], padded with -1, or None where there is no such file.

    Raises:
        ModelError: arrays for different numbers of users.
    """

    training: Histories
    target: NDArray[np.int32]
    other: NDArray[np.int32]
    negatives: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        users = len(self.training)
        rows = [len(self.target), len(self.other), users if self.negatives is None else len(self.negatives)]
        if set(rows) != {users}:
            raise ModelError(f"training is about {users} users, the held-out items are not", value=rows)


@dataclass(frozen=True)
class Quality:
    """Means over the measured users, None where there was none.

    ``hr``, ``ndcg``, ``mrr``: at ``k``; ``auc``: of the whole candidate list; each 0 to 1. ``hr_error`` and
    ``ndcg_error``: standard errors of the means over users.
    """

    users: int
    k: int
    hr: float | None
    ndcg: float | None
    mrr: float | None
    auc: float | None
    hr_error: float | None
    ndcg_error: float | None

    def as_dict(self) -> dict[str, float | int | None]:
        """The figures under the keys of ``run.json``: ``hr@10``, ``ndcg@10`` and more."""
        return {
            f"hr@{self.k}": self.hr,
            f"ndcg@{self.k}": self.ndcg,
            f"mrr@{self.k}": self.mrr,
            "auc": self.auc,
            f"hr@{self.k}-error": self.hr_error,
            f"ndcg@{self.k}-error": self.ndcg_error,
            "users": self.users,
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Both protocols and the lists' own figures, None where one does not apply.

    ``top``: int32 [measured users, k], the best of the full ranking; ``places``: int64 [measured users].  ``groups``:
    loo-99neg of the groups that were asked for.
    """

    loo_99neg: Quality
    loo_full: Quality
    coverage: float | None
    diversity: float | None
    novelty: float | None
    places: NDArray[np.int64]
    top: NDArray[np.int32]
    groups: Mapping[str, Quality] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The ``quality`` table of ``run.json``."""
        k = self.loo_full.k
        return {
            "loo-99neg": self.loo_99neg.as_dict(),
            "loo-full": self.loo_full.as_dict(),
            f"coverage@{k}": self.coverage,
            f"diversity@{k}": self.diversity,
            f"novelty@{k}": self.novelty,
        }


def evaluate(
    blocks: Blocks,
    held_out: HeldOut,
    *,
    k: int = 10,
    vectors: NDArray[np.floating] | None = None,
    groups: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Evaluation:
    """Measure both protocols in one pass over the scores.

    Args:
        blocks: pairs of users' places [block] and their scores float32 [block, items]; each user at most once. Users
            that no block brings are not measured.
        held_out: what to find, and what is no candidate.
        k: how many places count.
        vectors: [items, width] for diversity, see `lists.content_vectors`; None: no diversity.
        groups: bool [users] each, users to be told apart by name.

    Raises:
        ModelError: a score is not finite, a place is unknown or comes twice, or blocks differ in their items.
    """
    full, few, few_users, tops, places = [], [], [np.zeros(0, dtype=np.int64)], [], []
    items = 0
    for users, scores in _checked(blocks, held_out):
        items = scores.shape[1]
        candidates = _candidates(scores, users, held_out)
        full.append(_standing(scores, users, held_out, candidates))
        few.append(_against_negatives(scores, users, held_out))
        few_users.append(users[_with_negatives(users, held_out)])
        tops.append(top_k(np.where(candidates, scores, -np.inf), k))
        places.append(users)
    top = np.concatenate([np.zeros((0, k), dtype=np.int32), *tops])
    counts = np.bincount(held_out.training.items, minlength=items).astype(np.float64)
    found, owners = Standing.join(few), np.concatenate(few_users)
    return Evaluation(
        loo_99neg=_quality([found], k),
        loo_full=_quality(full, k),
        coverage=lists.coverage(top, items) if items else None,
        diversity=None if vectors is None else _mean(lists.diversity(top, vectors)),
        novelty=_mean(lists.novelty(top, counts)) if counts.sum() > 0 else None,
        places=np.concatenate([np.zeros(0, dtype=np.int64), *places]),
        top=top,
        groups={name: _quality([found.take(group[owners])], k) for name, group in (groups or {}).items()},
    )


def loo_99neg(blocks: Blocks, held_out: HeldOut, *, k: int = 10) -> Quality:
    """The target against the negatives of ``held_out`` only. Users without negatives are not measured."""
    return _quality([_against_negatives(scores, users, held_out) for users, scores in _checked(blocks, held_out)], k)


def loo_full(blocks: Blocks, held_out: HeldOut, *, k: int = 10) -> Quality:
    """The target against every item that the user has not touched in training (nor held out otherwise)."""
    found = [
        _standing(scores, users, held_out, _candidates(scores, users, held_out))
        for users, scores in _checked(blocks, held_out)
    ]
    return _quality(found, k)


def full_standing(
    scores: NDArray[np.float32], training: Histories, target: NDArray[np.int32], other: NDArray[np.int32]
) -> Standing:
    """Where the targets of a block of users stand among all that each has not touched: scores [users, items].

    Every target must be a real item, see `loo_full`.
    """
    held_out = HeldOut(training=training, target=target, other=other)
    users = np.arange(len(target))
    return _standing(scores, users, held_out, _candidates(scores, users, held_out))


def _checked(blocks: Blocks, held_out: HeldOut) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Blocks without the users that are not measured, after checking places and shapes."""
    seen = np.zeros(len(held_out.training), dtype=np.bool_)
    width: int | None = None
    for places, scores in blocks:
        users = np.asarray(places, dtype=np.int64)
        if scores.ndim != 2 or len(users) != len(scores) or (width is not None and scores.shape[1] != width):
            raise ModelError("a block needs one row of scores per user, over one catalogue", value=scores.shape)
        if len(users) and (users.min() < 0 or users.max() >= len(seen)):
            raise ModelError("a block names a user that is not held out", value=int(users.max()))
        if seen[users].any() or len(np.unique(users)) != len(users):
            raise ModelError("a user comes twice", action="Give each user in one block only")
        seen[users] = True
        width = scores.shape[1]
        _check_items(held_out, users, width)
        measured = held_out.target[users] >= 0
        if measured.any():
            yield (users, scores) if measured.all() else (users[measured], scores[measured])


def _check_items(held_out: HeldOut, users: NDArray[np.int64], items: int) -> None:
    tables = [held_out.target, held_out.other] + ([] if held_out.negatives is None else [held_out.negatives])
    for table in tables:
        largest = int(table[users].max(initial=-1))
        if largest >= items:
            raise ModelError(
                f"a held-out item or negative lies beyond the {items} items that were scored",
                value=largest,
                action="Score the same catalogue as the split was made on",
            )


def _candidates(scores: NDArray[np.float32], users: NDArray[np.int64], held_out: HeldOut) -> NDArray[np.bool_]:
    """bool [users, items]: all but what was touched in training or held out otherwise; the target always."""
    training = held_out.training.take(users)
    training.check(scores.shape[1])
    candidates = np.ones(scores.shape, dtype=np.bool_)
    candidates[training.owners, training.items] = False
    other = held_out.other[users]
    candidates[np.flatnonzero(other >= 0), other[other >= 0]] = False
    candidates[np.arange(len(users)), held_out.target[users]] = True
    return candidates


def _standing(
    scores: NDArray[np.float32], users: NDArray[np.int64], held_out: HeldOut, candidates: NDArray[np.bool_]
) -> Standing:
    rows, target = np.arange(len(users)), held_out.target[users]
    candidates[rows, target] = False
    found = metrics.standing(scores[rows, target], scores, candidates)
    candidates[rows, target] = True
    return found


def _with_negatives(users: NDArray[np.int64], held_out: HeldOut) -> NDArray[np.bool_]:
    if held_out.negatives is None:
        return np.zeros(len(users), dtype=np.bool_)
    return np.asarray((held_out.negatives[users] >= 0).any(axis=1))


def _against_negatives(scores: NDArray[np.float32], users: NDArray[np.int64], held_out: HeldOut) -> Standing:
    some = _with_negatives(users, held_out)
    users, scores = users[some], scores[some]
    none = np.zeros((0, 1), dtype=np.int32)
    negatives = none if held_out.negatives is None else held_out.negatives[users]
    rows, target = np.arange(len(users)), held_out.target[users]
    mask = (negatives >= 0) & (negatives != target[:, None])
    return metrics.standing(scores[rows, target], scores[rows[:, None], negatives], mask)


def _quality(found: list[Standing], k: int) -> Quality:
    at = Standing.join(found)
    hits, gains = metrics.hit_rate(at, k), metrics.ndcg(at, k)
    return Quality(
        users=len(at.better),
        k=k,
        hr=_mean(hits),
        ndcg=_mean(gains),
        mrr=_mean(metrics.reciprocal_rank(at, k)),
        auc=_mean(metrics.auc(at)),
        hr_error=_error(hits),
        ndcg_error=_error(gains),
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _error(values: NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
