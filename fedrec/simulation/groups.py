"""Groups of users and of target items that a run's quality is told apart for: warm and cold, head and tail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.simulation.study import Study

NEWCOMER: Final = 3
HEAD: Final = 0.2


@dataclass(frozen=True, eq=False)
class UserGroup:
    """``users``: bool [users], who is in it; ``rule``: why, in words."""

    users: NDArray[np.bool_]
    rule: str


def groups_of(study: Study) -> dict[str, UserGroup]:
    """By training events: the quarter of the measured users with the fewest, and the others; newcomers apart.  By the
    target item: among the most used fifth of the catalogue, used but not among them, and never used in training."""
    events, target = study.split.training.lengths, study.held_out.target
    measured = target >= 0
    least = int(np.quantile(events[measured], 0.25)) if measured.any() else 0
    counts = np.bincount(study.split.training.items, minlength=len(study.features.ids))
    order = np.argsort(-counts, kind="stable")
    head = np.zeros(len(counts), dtype=np.bool_)
    head[order[: int(np.ceil(HEAD * len(counts)))]] = True
    head &= counts > 0
    return {
        "newcomers": UserGroup(events < NEWCOMER, f"users with fewer than {NEWCOMER} training events"),
        "users-few": UserGroup(measured & (events <= least), f"users with at most {least:,} training events"),
        "users-many": UserGroup(measured & (events > least), f"users with more than {least:,} training events"),
        "items-head": UserGroup(measured & head[target], f"test item among the most used {HEAD:.0%} of items"),
        "items-tail": UserGroup(measured & ~head[target] & (counts[target] > 0), "test item used, but less"),
        "items-unseen": UserGroup(measured & (counts[target] == 0), "test item never used in training"),
    }
