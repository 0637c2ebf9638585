"""Newcomers: the same ranking where a device knows the last few events of its user only, with and without own notes.

Training is as it was; only what the device ranks with is cut.  So one run tells what a release gives somebody who has
just come, and what their own notes and photos add to that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from fedrec.ranking.protocols import HeldOut, evaluate
from fedrec.ranking.score import Scorer
from fedrec.users import Histories, UserBatch, pointers_of

ALL: Final = "all"
WITHOUT: Final = "without-own-content"


def at_most(histories: Histories, events: int) -> Histories:
    """Each history's last ``events`` events, 0 or more."""
    lengths = np.minimum(histories.lengths, events)
    return Histories(pointers_of(lengths), histories.items[histories.ages() < events])


def quality_of_newcomers(
    lengths: tuple[int, ...], scorer: Scorer, known: UserBatch, held_out: HeldOut
) -> dict[str, dict[str, Any]] | None:
    """Both protocols with histories cut to each length, and whole ("all"); None where no length is asked for.

    What a user's whole history went into stays out with it where that is cut: the private vector, and times of day.

    Args:
        lengths: events, 0 or more each.
        scorer, known: what devices rank with.
        held_out: what is to be found; what a user had in training is no candidate, cut or not.

    Returns:
        "0", "1", ... and "all" -> ``loo-99neg``, ``loo-full``, and under ``without-own-content`` the same without notes
        and photos, None where nobody has any.
    """
    if not lengths:
        return None
    cuts = {
        str(events): replace(known, histories=at_most(known.histories, events), adapter=None, context=None, times=None)
        for events in lengths
    }
    having = any(own is not None and len(own.values) for own in (known.notes, known.photos))
    found = {}
    for name, one in {**cuts, ALL: known}.items():
        bare = replace(one, notes=None, photos=None)
        found[name] = {**_both(scorer, one, held_out), WITHOUT: _both(scorer, bare, held_out) if having else None}
    return found


def _both(scorer: Scorer, known: UserBatch, held_out: HeldOut) -> dict[str, Any]:
    measured = np.flatnonzero(held_out.target >= 0)
    found = evaluate(scorer.blocks(known, users=measured), held_out)
    return {"loo-99neg": found.loo_99neg.as_dict(), "loo-full": found.loo_full.as_dict()}
