"""A query of your own: how long histories are, as a private sum; registered from outside, asked in two engines.

    python examples/own_query.py

What it promises is checked in tests/examples/test_example_own_query.py, by the contract that every query keeps.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import fedrec
from fedrec.config import Config, Settings
from fedrec.content.feature_table import Features
from fedrec.extend import register_query
from fedrec.queries.device.encoder import QueryEncoder
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState
from fedrec.users import UserBatch

SPANS: Final = {"1-3": 1, "4-10": 4, "more": 11}
SETTINGS: Final[dict[str, Any]] = {
    "model.tower": False,
    "collaborative.cooccurrence.enabled": False,
    "privacy.epsilon": 8.0,
    "queries.history-lengths": {},
    "secure_aggregation.minimum_cohort": 8,
    "secure_aggregation.minimum_survivors": 6,
}


class HistoryLengthsSettings(Settings):
    """The section ``[queries.history-lengths]``: there is nothing to set."""


@register_query
class HistoryLengths(Query):
    """How many users have a history of which length; those without one are not counted.

    *What leaves*: a one in the span that the length of a user's history is in.
    *What it costs*: a user moves the sum by 1; one interaction moves a user to the next span, and the sum by sqrt(2).
    *Who checks it*: a device makes the whole request itself.
    *What is made of it*: how many users each span has, zero or above.
    """

    name = "history-lengths"
    encoder = f"{__name__}:HistoryLengthsEncoder"
    default_share = 0.05
    settings_type = HistoryLengthsSettings

    def rounds(self, config: Config) -> range:
        return range(int(self.settings(config) is not None))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        moves = 2**0.5 if config.privacy.unit == "example" else 1.0
        return PrivateSum.of(self.name, len(SPANS), 1.0, rows, moves=moves)

    def decode(self, state: RunState, noisy: NoisySum) -> dict[str, float]:
        return dict(zip(SPANS, np.maximum(noisy.vector, 0.0).tolist(), strict=True))

    def describe(self, result: dict[str, float]) -> dict[str, float]:
        return result


class HistoryLengthsEncoder(QueryEncoder):
    """The device's half."""

    def encode(self, request: Request, population: UserBatch) -> NDArray[np.float64]:
        lengths = population.histories.lengths
        # Nobody is counted for having nothing: else leaving out a user's history would move two numbers.
        span = np.searchsorted(list(SPANS.values()), lengths[lengths > 0], side="right") - 1
        return np.bincount(span, minlength=len(SPANS)).astype(np.float64)


def main(directory: Path) -> dict[str, Any]:
    """Ask it of a small shop in both engines; what run.json says of it, by engine."""
    shop = directory / "shop"
    fedrec.make_shop(shop, users=24)
    found = {}
    for engine in ("cohort", "grid"):
        run = fedrec.simulate("defaults", shop, overrides={**SETTINGS, "run.engine": engine}, out=directory / engine)
        found[engine] = run.record["queries"]["history-lengths"]
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for engine, spans in main(Path(scratch)).items():
            sys.stdout.write(f"{engine}: {spans}\n")
