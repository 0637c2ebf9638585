"""Interactions as examples: users split so that a row holds few of them, and interactions drawn by chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedrec.randomness import prf_uint64, uniform
from fedrec.users import Histories, UserBatch, pointers_of


def by_example(users: UserBatch, groups: int, key: bytes) -> UserBatch:
    """Split each user into ``groups`` pseudo-users, so that a row holds few interactions and each is in one row only.

    An interaction's group is a keyed hash of (user, item) alone: adding or removing an interaction changes no other
    one's group, so it changes exactly one row.  This is what makes ``unit = "example"`` mean one interaction.  Notes
    and photos are not interactions and stay out.
    """
    keys, owners, items = users.sampling_keys, users.histories.owners, users.histories.items
    hashed = prf_uint64(key, keys[owners], items.astype(np.uint64))
    group = owners * groups + (hashed % np.uint64(groups)).astype(np.int64)
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=len(users) * groups)
    number = np.tile(np.arange(groups, dtype=np.uint64), len(users))
    return UserBatch(
        Histories(pointers_of(sizes), items[order]),
        keys=prf_uint64(key, np.repeat(keys, groups), number),
        times=None if users.times is None else users.times[order],
    )


def sample_examples(users: UserBatch, probability: float, sample_key: bytes) -> UserBatch:
    """Keep each interaction with a probability, independently of all others; the users stay, with or without any."""
    if probability >= 1:
        return users
    drawn: NDArray[np.bool_] = uniform(sample_key, len(users.histories.items)) < probability
    times = None if users.times is None else users.times[drawn]
    return replace(users, histories=users.histories.where(drawn), times=times)
