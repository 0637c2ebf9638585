"""Who picked what and when: events drawn from the affinities, and the evaluation lists.

The year has two seasons. Items that are *fresh* appear with the second one, so their behaviour is thin when they are
recommended, while their text and picture are complete: what content is for. One user in five is a newcomer who arrives
in the second season and has nothing, one or two training events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.simulation.shop.latents import Floats32, LatentItems, affinity, stream

NEGATIVES = 99
LEAST_EVENTS, MOST_EVENTS = 12, 24
NEWCOMER_SHARE, FRESH_SHARE, LATE_SHARE = 0.2, 0.2, 0.33
# One event: the test item. Two: and one to train on. Four: two to train on, a validation and a test item.
NEWCOMER_EVENTS = (1, 2, 4)
LEAST_WITH_VALID = 3
CHUNK = 512

DAY = 86_400
START = 1_735_689_600  # 2025-01-01, UTC
SEASON_TWO, END = 240 * DAY, 365 * DAY

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ShopEvents:
    """Events and evaluation lists of some users, one row a user.

    ``items``: int32 [users, 24], places of items in time order, -1 after the last. ``times``: int64 [users, 24],
    seconds since 1970, rising strictly within a user. ``count``: int64 [users], 1 to 24. ``negatives``: int32
    [users, 99], items the user never touched, uniformly drawn without repetition.
    """

    items: Ints
    times: NDArray[np.int64]
    count: NDArray[np.int64]
    negatives: Ints

    @property
    def test(self) -> Ints:
        """The last item of each user."""
        return np.asarray(self.items[np.arange(len(self.count)), self.count - 1])

    @property
    def valid(self) -> Ints:
        """The last item but one, or -1 for users of fewer than three events."""
        before = self.items[np.arange(len(self.count)), np.maximum(self.count - 2, 0)]
        return np.where(self.count >= LEAST_WITH_VALID, before, np.int32(-1)).astype(np.int32)

    @property
    def training(self) -> NDArray[np.int64]:
        """How many events of each user are left to train on: int64 [users]."""
        return self.count - np.where(self.count >= LEAST_WITH_VALID, 2, 1)


def draw_events(seed: int, taste: Floats32, items: LatentItems) -> Iterator[ShopEvents]:
    """Events of all users in chunks of 512, in order. ``taste``: float32 [users, 8]; items at least 140."""
    fresh = fresh_items(seed, len(items))
    for start in range(0, len(taste), CHUNK):
        yield _draw_chunk(stream(seed, "events", start), affinity(taste[start : start + CHUNK], items), fresh)


def fresh_items(seed: int, items: int) -> NDArray[np.bool_]:
    """Which items appear with the second season: bool [items]."""
    fresh = np.zeros(items, dtype=bool)
    fresh[stream(seed, "fresh items").permutation(items)[: int(FRESH_SHARE * items)]] = True
    return fresh


def _draw_chunk(rng: np.random.Generator, scores: Floats32, fresh: NDArray[np.bool_]) -> ShopEvents:
    chosen, first, second = draw_picks(rng, scores, fresh[None, :])
    free = rng.random(scores.shape, dtype=np.float32)
    free[_marked(scores.shape, chosen)] = 2.0
    negatives = np.argpartition(free, NEGATIVES, axis=1)[:, :NEGATIVES].astype(np.int32)
    return ShopEvents(chosen, draw_times(rng, first, second), first + second, np.sort(negatives, axis=1))


def draw_picks(
    rng: np.random.Generator,
    scores: Floats32,
    not_early: NDArray[np.bool_],
    never: NDArray[np.bool_] | None = None,
) -> tuple[Ints, NDArray[np.int64], NDArray[np.int64]]:
    """What users pick over the year, by affinity.

    Args:
        rng: decides it.
        scores: float32 [users, columns], the affinity to whatever each column stands for.
        not_early: bool, [1, columns] or the shape of ``scores``: what cannot be picked in the first season.
        never: bool, the shape of ``scores``: what cannot be picked at all; None: nothing.

    Returns:
        Columns int32 [users, 24] in the order of time, -1 after the last; and how many fall into the first and into the
        second season, int64 [users] each.
    """
    first, second = _draw_counts(rng, len(scores))
    early = _pick(rng, scores, not_early, int(first.max()))
    early[np.arange(early.shape[1]) >= first[:, None]] = -1
    taken = _marked(scores.shape, early)
    late = _pick(rng, scores, taken if never is None else taken | never, int(second.max()))
    late[np.arange(late.shape[1]) >= second[:, None]] = -1
    return _joined(_shuffled(rng, early), _shuffled(rng, late)), first, second


def _draw_counts(rng: np.random.Generator, users: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Events of each user in the first and in the second season."""
    total = rng.integers(LEAST_EVENTS, MOST_EVENTS + 1, users)
    newcomer = rng.random(users) < NEWCOMER_SHARE
    few = np.asarray(NEWCOMER_EVENTS)[rng.integers(0, len(NEWCOMER_EVENTS), users)]
    second = np.where(newcomer, few, np.round(LATE_SHARE * total).astype(np.int64))
    return np.where(newcomer, 0, total - second), second


def _pick(rng: np.random.Generator, scores: Floats32, banned: NDArray[np.bool_], most: int) -> Ints:
    """Each user's ``most`` picks, one after the other without repetition, with probability ~ exp(score).

    Sorting scores plus Gumbel noise is exactly that draw (Kool et al. 2019, "Stochastic beams and where to find them",
    section 2.3), for all users at once. Returns int32 [users, most], first pick first.
    """
    waiting = np.maximum(rng.standard_exponential(scores.shape, dtype=np.float32), np.finfo(np.float32).tiny)
    noisy = scores - np.log(waiting)
    noisy[np.broadcast_to(banned, scores.shape)] = -np.inf
    if most == 0:
        return np.empty((len(scores), 0), dtype=np.int32)
    top = np.argpartition(-noisy, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(noisy, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1).astype(np.int32)


def _shuffled(rng: np.random.Generator, picks: Ints) -> Ints:
    """Picks in random order, padding last: what a user likes best is not what comes first."""
    key = rng.random(picks.shape)
    key[picks < 0] = 2.0
    return np.take_along_axis(picks, np.argsort(key, axis=1, kind="stable"), axis=1)


def _joined(early: Ints, late: Ints) -> Ints:
    both = np.concatenate([early, late], axis=1)
    both = np.take_along_axis(both, np.argsort(both < 0, axis=1, kind="stable"), axis=1)[:, :MOST_EVENTS]
    return np.pad(both, ((0, 0), (0, MOST_EVENTS - both.shape[1])), constant_values=-1)


def _marked(shape: tuple[int, ...], picks: Ints) -> NDArray[np.bool_]:
    """bool [users, items]: True where a user's row of picks names the item."""
    marks = np.zeros(shape, dtype=bool)
    rows, columns = np.nonzero(picks >= 0)
    marks[rows, picks[rows, columns]] = True
    return marks


def draw_times(rng: np.random.Generator, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rising times: the first season's events in its days, the second's in its own."""
    place = np.arange(MOST_EVENTS)
    late = place >= first[:, None]
    offset = np.where(
        late,
        rng.integers(SEASON_TWO, END - DAY, (len(first), MOST_EVENTS)),
        rng.integers(0, SEASON_TWO - DAY, (len(first), MOST_EVENTS)),
    )
    offset[place >= (first + second)[:, None]] = END
    # Adding the place after sorting makes equal seconds differ and cannot leave the season: a day is kept free for it.
    return START + np.sort(offset, axis=1) + place
