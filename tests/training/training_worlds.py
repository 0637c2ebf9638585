"""Small catalogues and populations that the tests of training share."""

from __future__ import annotations

import numpy as np

from fedrec.content.features import Features
from fedrec.users import Histories, OwnContent, UserBatch, keys_of

ITEMS = 40


def small_features(seed: int = 0, *, items: int = ITEMS, text: int = 6, image: int = 5) -> Features:
    """Random text and image features; every fifth item lacks its picture."""
    rng = np.random.default_rng(seed)
    values = {
        "text": rng.normal(size=(items, text)).astype(np.float32),
        "image": rng.normal(size=(items, image)).astype(np.float32),
    }
    present = {"text": np.ones(items, bool), "image": np.arange(items) % 5 != 0}
    ids = tuple(f"i{place}" for place in range(items))
    return Features(ids, ids, values, present, ())


def small_population(seed: int = 1, *, users: int = 9, items: int = ITEMS, own: bool = True) -> UserBatch:
    """Users with 0, 1, 2, ... events in a random order, some with notes and photos."""
    rng = np.random.default_rng(seed)
    histories = [rng.permutation(items)[: min(items, 2 * user if user > 2 else user)] for user in range(users)]
    held = np.array([-1 if user < 3 else 0 for user in range(users)], np.int32)
    keys = keys_of([f"u{user}" for user in range(users)])
    notes, photos = (_pieces(rng, users, width) if own else None for width in (6, 5))
    return UserBatch(Histories.of(histories), keys=keys, held_out=held, notes=notes, photos=photos)


def _pieces(rng: np.random.Generator, users: int, width: int) -> OwnContent:
    counts = np.arange(users) % 3
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return OwnContent(indptr, rng.normal(size=(int(counts.sum()), width)).astype(np.float32))
