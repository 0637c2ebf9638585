"""A request that was asked as often as it may be, and gave no sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fedrec.errors import ProtocolError

# What its line in ``events.jsonl`` says in place of a reason why nobody was asked.
AGGREGATION_FAILED: Final = "aggregation-failed"


class AggregationFailedError(ProtocolError):
    """No attempt at a request gave a sum. ``aborted``: the attempts, by reason. ``excluded``: devices, by reason."""

    def __init__(
        self, what: str, aborted: Mapping[str, int], *, excluded: Mapping[str, int], value: object, action: str
    ) -> None:
        self.aborted, self.excluded = dict(aborted), dict(excluded)
        super().__init__(what, value=value, action=action)
