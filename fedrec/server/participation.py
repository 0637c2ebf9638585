"""Who really took part in a sum, as facts for the ledger's row, so that it can be held against what was accounted.

Facts are counts, a keyed digest of the cohort and the fewest rounds between two participations of a device; nobody is
named. The digest is keyed because somebody who knows all other members could try both cohorts, with and without one
device, and find out whether it was drawn.  The counts are as telling to such a reader: what holds them (the ledger, the
event log) stays with the server and is no part of a release.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.server.sampling import Sampler

NEVER: Final = -1


class ParticipationLog:
    """Keeps when each device was last asked for training, and says what happened in a round.

    Args:
        sampler: who is asked.
        key: secret of the run, at least 16 bytes; equal cohorts have equal digests under it.
        turns: the round in which each device was last asked, int32 [devices]; None at the start of a run.
    """

    def __init__(self, sampler: Sampler, key: bytes, participations: NDArray[np.int32] | None) -> None:
        self.sampler = sampler
        self._key = key
        self.participations = np.full(sampler.devices, NEVER, np.int32) if participations is None else participations

    def facts(self, request: Request, cohort: Sequence[int], survivors: int) -> dict[str, Any]:
        """What took part in a sum; JSON-able.

        ``gap``: the fewest rounds between this participation of a device and the one before; None where it is
        everybody's first, or where everybody is asked.
        """
        sampled = QUERIES[request.query].sampled and self.sampler.share < 1
        return {
            "population": self.sampler.devices,
            "asked": len(cohort),
            "survivors": survivors,
            "sampling": self.sampler.kind if sampled else "full",
            "probability": self.sampler.probability if sampled else 1.0,
            "cohort": self._digest(cohort),
            "gap": self._gap(request.round, cohort) if sampled else None,
        }

    def took(self, request: Request, cohort: Sequence[int]) -> NDArray[np.int32]:
        """Participations after this request; a round that is asked a second time is one."""
        if QUERIES[request.query].sampled and self.sampler.share < 1:
            self.participations = self.participations.copy()
            self.participations[np.asarray(cohort, dtype=np.int64)] = request.round
        return self.participations

    def _gap(self, number: int, cohort: Sequence[int]) -> int | None:
        last = self.participations[np.asarray(cohort, dtype=np.int64)]
        last = last[(last != NEVER) & (last < number)]
        return int(number - last.max()) if len(last) else None

    def _digest(self, cohort: Sequence[int]) -> str:
        places = np.asarray(cohort, dtype="<i8").tobytes()
        return hmac.new(self._key, b"fedrec cohort" + places, hashlib.sha256).hexdigest()
