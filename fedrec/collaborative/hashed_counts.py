"""Counts of a catalogue in fewer numbers than it has items: three hash tables, and what a count is off by.

Items share buckets, differently in each table (count-min, Cormode and Muthukrishnan 2005; without its bias, Deng and
Rafiei 2007, "New estimation algorithms for streaming data: Count-min can do more").  What a table says of an item is
its bucket less the mean of the others; the count is the median of what the three say, so that one popular item in a
bucket makes no popular item of its neighbours.

The error is known: a table of w buckets is off by a deviation of sqrt(sum of squared counts / w), at most, by what
shares its buckets, and by its noise, which is sqrt(3) times that of a sum with an element an item.  Of three
independent normal values the median has .449 of the variance of one.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
TABLES: Final = 3
_MEDIAN: Final = 0.4487
"""The variance of the median of three independent normal values, where each has 1."""
_STEP: Final = 0x9E3779B97F4A7C15
_MIXERS: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def buckets_of(items: int, width: int) -> NDArray[np.int64]:
    """The bucket of each item in each table, of ``width`` buckets; [3, items]. Public, and the same everywhere.

    By SplitMix64 (Steele, Lea and Flood 2014) of the item's place, which no private data decides.
    """
    place = np.arange(items, dtype=np.uint64)
    found = np.empty((TABLES, items), dtype=np.int64)
    for table in range(TABLES):
        mixed = place * np.uint64(TABLES) + np.uint64(table + 1)
        mixed *= np.uint64(_STEP)
        for shift, mixer in _MIXERS:
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(mixer)
        found[table] = (mixed ^ (mixed >> np.uint64(31))) % np.uint64(width)
    return found


def hashed(
    items: NDArray[np.integer], owners: NDArray[np.integer], values: Floats, width: int, *, bound: float
) -> Floats:
    """The sum over users of their parts in all tables, each part within the L2 norm ``bound``; float64 [3 width].

    Args:
        items, owners, values: an entry each: which item, whose, and how much. Of an owner the norm is 1 at most.

    A part is 1 / sqrt(3) in each table, so that its norm stays where its items share no bucket; where they do it may be
    longer, and is clipped.
    """
    length = TABLES * width
    if not len(items):
        return np.zeros(length)
    columns = _columns(items, width)
    rows = np.broadcast_to(owners, columns.shape)
    shares = np.broadcast_to(values / math.sqrt(TABLES), columns.shape)
    parts = sparse.csr_matrix((shares.ravel(), (rows.ravel(), columns.ravel())), (int(owners.max()) + 1, length))
    norms = np.sqrt(np.asarray(parts.multiply(parts).sum(axis=1)).ravel())
    scale = np.minimum(1.0, bound / np.maximum(norms, np.finfo(np.float64).tiny))
    return np.asarray(scale @ parts, dtype=np.float64).ravel()


def counts_of(sums: Floats, items: int) -> Floats:
    """What the sums say of each item; float64 [items], also below zero.

    Each table is without bias where nothing was clipped. Their median is somewhat low where few items have most of the
    counts, as what they add to a bucket is then left out and what they add to the mean is not; by the error at most.
    """
    tables = sums.reshape(TABLES, -1)
    width = tables.shape[1]
    # Of a table's mass each bucket expects the same part from items that are in it by chance.
    apart = (tables * width - tables.sum(axis=1, keepdims=True)) / (width - 1)
    found = np.stack([apart[table][places] for table, places in enumerate(buckets_of(items, width))])
    return np.asarray(math.sqrt(TABLES) * np.median(found, axis=0), dtype=np.float64)


def deviation_of(sums: Floats, noise: float) -> float:
    """What an estimate of `counts_of` is off by at most: its noise, and what shares its buckets, as one deviation.

    Where few items have most of the counts it is less, since the median passes over most buckets that these are in.

    Args:
        sums: what was opened, with its noise in it. noise: deviation of that noise in an element.
    """
    tables = sums.reshape(TABLES, -1)
    width = tables.shape[1]
    squares = max(float(np.mean((tables**2).sum(axis=1))) - width * noise**2, 0.0)
    return math.sqrt(TABLES * _MEDIAN * (noise**2 + squares / width))


def _columns(items: NDArray[np.integer], width: int) -> NDArray[np.int64]:
    """Where each entry goes in the three tables, one after the other; [3, entries]."""
    known, place = np.unique(items, return_inverse=True)
    buckets = buckets_of(int(known[-1]) + 1, width)[:, known]
    return buckets[:, place] + width * np.arange(TABLES)[:, None]
