"""Which events train, and which items are held out to measure with; no held-out item is ever a training item."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.data.drawn_negatives import can_draw, draw_unmet
from fedrec.data.membership import among, first_places
from fedrec.data.ratings import PositiveRatings, is_positive, rated_rows
from fedrec.data.schema import TEST, UNSPLIT, VALID, Dataset, Interactions, LeaveOneOut
from fedrec.randomness import key, prf_uint64
from fedrec.users import Histories, keys_of, pointers_of

NEGATIVES = 99
MIN_EVENTS = 3
DRAWN_ONE_BY_ONE = 100_000
"""Of more measured users than this, negatives are drawn for many at once: in seconds, and other ones."""
_SHARE = 10
_USERS = 4_096


@dataclass(frozen=True)
class Split:
    """Training items of each user in time order, and the held-out items.

    ``training``: what each user trains on, each item once. ``valid``, ``test``: int32 [users], -1 where none; neither
    is in the user's training items. ``negatives``: int32 [users, up to 99], rows padded with -1, to rank the test item
    against; None where nobody has a held-out item. ``rows``: int64 [n], the row of the data set's interactions that
    each entry of ``training.items`` comes from. ``rated``: int64 [m], ascending, the rows whose ratings a device
    knows, one a user and item: of training items, and of items that are not positive.
    """

    training: Histories
    valid: NDArray[np.int32]
    test: NDArray[np.int32]
    negatives: NDArray[np.int32] | None
    rows: NDArray[np.int64]
    rated: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def split(
    dataset: Dataset,
    seed: int = 0,
    *,
    unit: Literal["user", "example"] = "user",
    positive_ratings: PositiveRatings = "all",
) -> Split:
    """Hold items out of training, by the first of these rules that the data set has the means for.

    1. ``loo_99neg.csv``: its validation and test items, and its negatives. A user that it does not name follows rule 2,
       without negatives.
    2. The ``split`` column: the user's last row marked valid and last row marked test; other rows so marked are used
       for nothing. A user without marks keeps everything in training.
    3. Leave one out by time: each user's last item is the test item, the one before the validation item; a user with
       fewer than 3 different items keeps all in training. Rows without a time count in the order of the file, before
       those with one. With ``unit`` ``example``, by a hash instead: of (user, item) and ``seed``, a tenth of the items
       is for validation and a tenth for testing; of each, a user's last by time is measured, the others are used for
       nothing.

    Where one interaction is what is protected, it must decide about itself alone whether it trains. A file's marks do
    not change with the interactions, nor does a hash; *the last two* do: without its last item a user's last but one
    is the test item, the one before that the validation item, and one interaction changes three.

    Only events that are positive by ``positive_ratings`` (`fedrec.data.ratings.is_positive`) train and are held out; of
    the first rule's items none that its user rated lower. An interaction that is not positive decides so about itself
    alone.

    Of several rows of a (user, item) pair the first that is positive counts. Without ``loo_99neg.csv``, 99 evaluation
    negatives a user are drawn uniformly with ``seed``, without repetition, from the items that the user never met
    (fewer where there are fewer). They are for measuring only: training must draw its own, leaving out nothing but
    training items.
    """
    table = dataset.interactions
    items = max(len(dataset.items), 1)
    positive = is_positive(table.rating, positive_ratings)
    first = _first_of_pairs(table, items, positive)
    user, item, mark = table.user[first], table.item[first], table.split[first]
    given = dataset.evaluation
    if given is not None or _has_marks(dataset, unit):
        valid, test = _marked(user, item, mark, len(dataset.users))
        if given is not None:
            named = (given.valid >= 0) | (given.test >= 0)
            valid, test = np.where(named, given.valid, valid), np.where(named, given.test, test)
            if not positive.all():
                valid, test = (_unless_disliked(table, items, first, held) for held in (valid, test))
    elif unit == "example":
        mark = _drawn(keys_of(dataset.users)[user], keys_of([one.id for one in dataset.items])[item], seed)
        valid, test = _marked(user, item, mark, len(dataset.users))
    else:
        valid, test = _last_two(user, item, len(dataset.users))
    trains = (mark != VALID) & (mark != TEST) & (item != valid[user]) & (item != test[user])
    counts = np.bincount(user[trains], minlength=len(dataset.users))
    training = Histories(pointers_of(counts), item[trains])
    negatives = _negatives(given, table, valid, test, len(dataset.items), seed)
    rows = first[trains]
    return Split(training, valid, test, negatives, rows, rated_rows(table, items, first, rows, (valid, test)))


def _first_of_pairs(table: Interactions, items: int, positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows, in order, that hold a (user, item) pair for the first time among the positive ones."""
    rows = np.flatnonzero(positive)
    pair = table.user[rows].astype(np.int64) * items + table.item[rows]
    return rows[first_places(pair)].astype(np.int64)


def _unless_disliked(
    table: Interactions, items: int, positive: NDArray[np.int64], held: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Held-out items [users], -1 where the user's events with the item are known and none is positive."""
    pair = table.user.astype(np.int64) * items + table.item
    wanted = np.arange(len(held)) * items + held
    disliked = (held >= 0) & among(wanted, pair) & ~among(wanted, pair[positive])
    return np.where(disliked, -1, held).astype(np.int32)


def _marked(
    user: NDArray[np.int32], item: NDArray[np.int32], mark: NDArray[np.int8], users: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    held = []
    for kind in (VALID, TEST):
        chosen = np.full(users, -1, dtype=np.int32)
        rows = np.flatnonzero(mark == kind)
        owners = user[rows]
        rows = rows[np.append(owners[1:] != owners[:-1], True)] if len(rows) else rows
        chosen[user[rows]] = item[rows]
        held.append(chosen)
    return held[0], held[1]


def _last_two(
    user: NDArray[np.int32], item: NDArray[np.int32], users: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    valid = np.full(users, -1, dtype=np.int32)
    test = np.full(users, -1, dtype=np.int32)
    counts = np.bincount(user, minlength=users)
    enough = np.flatnonzero(counts >= MIN_EVENTS)
    last = np.cumsum(counts)[enough] - 1
    test[enough], valid[enough] = item[last], item[last - 1]
    return valid, test


def _has_marks(dataset: Dataset, unit: Literal["user", "example"]) -> bool:
    """Whether the file marks rows; for unit ``example`` whether it has the column, which no single row decides."""
    column = unit == "example" and any(one.taken_as == "split" for one in dataset.columns_taken)
    return column or bool((dataset.interactions.split != UNSPLIT).any())


def _drawn(users: NDArray[np.uint64], items: NDArray[np.uint64], seed: int) -> NDArray[np.int8]:
    """Marks of interactions by a hash of each one's user and item alone; int8 [n]."""
    drawn = prf_uint64(key(seed, "split"), users, items)
    tenth = np.uint64(2**64 // _SHARE)
    marks = np.full(len(drawn), UNSPLIT, dtype=np.int8)
    marks[drawn < 2 * tenth] = VALID
    marks[drawn < tenth] = TEST
    return marks


def _negatives(
    given: LeaveOneOut | None,
    table: Interactions,
    valid: NDArray[np.int32],
    test: NDArray[np.int32],
    items: int,
    seed: int,
) -> NDArray[np.int32] | None:
    if given is not None:
        return given.negatives
    measured = np.flatnonzero((valid >= 0) | (test >= 0))
    if not len(measured):
        return None
    generator = np.random.default_rng(seed)
    starts = np.searchsorted(table.user, np.arange(len(valid) + 1))
    drawn = np.full((len(valid), NEGATIVES), -1, dtype=np.int32)
    histories = Histories(starts.astype(np.int64), table.item)
    if len(measured) > DRAWN_ONE_BY_ONE and can_draw(int(histories.lengths.max()), items, NEGATIVES):
        for start in range(0, len(measured), _USERS):
            users = measured[start : start + _USERS]
            padded, there = histories.take(users).last(int(histories.lengths[users].max()))
            known = np.where(there, padded, -1).astype(np.int32)
            drawn[users] = draw_unmet(generator, known, items, NEGATIVES)
        return drawn
    for user in measured:
        met = table.item[starts[user] : starts[user + 1]]
        sample = _unmet(met, items, generator)
        drawn[user, : len(sample)] = sample
    return drawn[:, : int((drawn >= 0).sum(axis=1).max())]


def _unmet(met: NDArray[np.int32], items: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Up to `NEGATIVES` different items that are not in ``met``, uniform, in random order."""
    if items <= 4 * (len(met) + NEGATIVES):
        return generator.permutation(np.setdiff1d(np.arange(items), met))[:NEGATIVES]
    # Most draws are new here, so drawing and dropping is far cheaper than permuting a large catalogue.
    taken = set(met.tolist())
    sample: list[int] = []
    while len(sample) < NEGATIVES:
        for item in generator.integers(items, size=NEGATIVES).tolist():
            if item not in taken and len(sample) < NEGATIVES:
                taken.add(item)
                sample.append(item)
    return np.array(sample, dtype=np.int64)
