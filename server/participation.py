"""Who really took part in a sum, as facts for the ledger's row, so that it can be held against what was accounted.

Facts are counts, a keyed digest of the cohort and the shortest time between two turns of a device; nobody is named.
The digest is keyed because somebody who knows all other members could try both cohorts, with and without one device,
and find out whether it was drawn.  The counts are as telling to such a reader: what holds them (the ledger, the diary
of rounds) stays with the server and is no part of a release.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation.question import Question
from server.sampling import Sampler

NEVER: Final = -1


class Participation:
    """Keeps when each device was last asked for training, and says what happened in a round.

    Args:
        sampler: who is asked.
        key: secret of the run, at least 16 bytes; equal cohorts have equal digests under it.
        turns: the round in which each device was last asked, int32 [devices]; None at the start of a run.
    """

    def __init__(self, sampler: Sampler, key: bytes, turns: NDArray[np.int32] | None) -> None:
        self.sampler = sampler
        self._key = key
        self.turns = np.full(sampler.devices, NEVER, np.int32) if turns is None else turns

    def facts(self, question: Question, cohort: Sequence[int], survivors: int) -> dict[str, Any]:
        """What took part in a sum; JSON-able.

        ``gap``: the fewest rounds between this turn of a device and the one before; None where it is everybody's
        first, or where everybody is asked.
        """
        sampled = question.query == "training" and self.sampler.share < 1
        return {
            "population": self.sampler.devices,
            "asked": len(cohort),
            "survivors": survivors,
            "sampling": self.sampler.kind if sampled else "full",
            "probability": self.sampler.share if sampled else 1.0,
            "cohort": self._digest(cohort),
            "gap": self._gap(question.round, cohort) if sampled else None,
        }

    def took(self, question: Question, cohort: Sequence[int]) -> NDArray[np.int32]:
        """Turns after this question; a round that is asked a second time is one turn."""
        if question.query == "training" and self.sampler.share < 1:
            self.turns = self.turns.copy()
            self.turns[np.asarray(cohort, dtype=np.int64)] = question.round
        return self.turns

    def _gap(self, number: int, cohort: Sequence[int]) -> int | None:
        last = self.turns[np.asarray(cohort, dtype=np.int64)]
        last = last[(last != NEVER) & (last < number)]
        return int(number - last.max()) if len(last) else None

    def _digest(self, cohort: Sequence[int]) -> str:
        places = np.asarray(cohort, dtype="<i8").tobytes()
        return hmac.new(self._key, b"fedrec cohort" + places, hashlib.sha256).hexdigest()
