"""Picks in a large shop: each user chooses among a few items that come to their notice, not from the whole catalogue.

A consideration set (Shocker et al. 1991, "Consideration set influences on consumer decision-making and choice",
section 2) is drawn uniformly for each user, and picks are made within it by the affinity as in any other shop. What is
common to both: an item of higher affinity is picked more often, in proportion to ``exp(affinity)`` among what is
considered. What differs: the very best of the catalogue is mostly not seen, so lists are less extreme than taste.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.data.drawn_negatives import draw_unmet
from fedrec.simulation.shop.behaviour import CHUNK, NEGATIVES, ShopEvents, draw_picks, draw_times, fresh_items
from fedrec.simulation.shop.latents import SCALE, Floats32, LatentItems, stream

CONSIDERED: Final = 512
"""Draws of what a user considers; one that falls on an item again counts once."""
_BLOCK: Final = 32  # users whose items' parts fit the processor's cache

Ints = NDArray[np.int32]


def draw_considered_events(seed: int, taste: Floats32, items: LatentItems) -> Iterator[ShopEvents]:
    """Events of all users in chunks of 512, in order, as `draw_events` gives them. ``taste``: float32 [users, 8]."""
    fresh = fresh_items(seed, len(items))
    for start in range(0, len(taste), CHUNK):
        yield _draw_chunk(stream(seed, "considered events", start), taste[start : start + CHUNK], items, fresh)


def _draw_chunk(rng: np.random.Generator, taste: Floats32, items: LatentItems, fresh: NDArray[np.bool_]) -> ShopEvents:
    considered, again = _considered(rng, len(taste), len(items))
    scores = _scores(taste, items, considered)
    chosen, first, second = draw_picks(rng, scores, fresh[considered] | again, again)
    picked = np.take_along_axis(considered, np.maximum(chosen, 0), axis=1)
    picked = np.where(chosen >= 0, picked, -1).astype(np.int32)
    negatives = draw_unmet(rng, picked, len(items), NEGATIVES)
    return ShopEvents(picked, draw_times(rng, first, second), first + second, np.sort(negatives, axis=1))


def _considered(rng: np.random.Generator, users: int, items: int) -> tuple[Ints, NDArray[np.bool_]]:
    """What each user considers: int32 [users, 512], ascending; and which of it repeats the item before."""
    considered = np.sort(rng.integers(0, items, (users, CONSIDERED), dtype=np.int32), axis=1)
    again = np.zeros(considered.shape, dtype=np.bool_)
    again[:, 1:] = considered[:, 1:] == considered[:, :-1]
    return considered, again


def _scores(taste: Floats32, items: LatentItems, considered: Ints) -> Floats32:
    """The affinity of each user to what the user considers: float32 [users, considered]; added up as `affinity` is."""
    scores: Floats32 = items.bias[considered]
    for start in range(0, len(taste), _BLOCK):
        block = slice(start, start + _BLOCK)
        parts = items.parts[considered[block]]
        for d, scale in enumerate(SCALE):
            scores[block] += scale * taste[block, d, None] * parts[:, :, d]
    return scores
