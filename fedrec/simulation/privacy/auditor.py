"""The auditor of one run: sees each noisy sum, scores the canaries, and at the end guesses which of them were in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.audit import expected
from fedrec.audit.canaries import Canaries
from fedrec.audit.families import Claim
from fedrec.audit.one_run import GuessCount
from fedrec.audit.outer import OuterParts
from fedrec.audit.scores import log_likelihood_ratios
from fedrec.audit.verdict import bounds, count_guesses, estimate, plan_guesses
from fedrec.collaborative.power_iteration import ProjectionDirections
from fedrec.config import Config
from fedrec.errors import StoreError
from fedrec.privacy.accountant import QueryCost
from fedrec.queries.cooccurrence import COOCCURRENCE, ITEMS
from fedrec.queries.directions import DIRECTIONS
from fedrec.queries.factors import FACTORS
from fedrec.queries.model_update import MODEL_UPDATE
from fedrec.queries.plan import costs_of
from fedrec.queries.popularity import POPULARITY
from fedrec.queries.query import Query
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.server.results import RoundEvent
from fedrec.simulation.engines.audited import AuditedDevices

NOTE = (
    "canaries took part in every sum as the worst rows could, half of them without what is secret of them: the model "
    "is a little other than without them; they are no users, and quality is measured on real users only"
)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What an audited run leaves: scores and coins of its canaries, and what the run claims."""

    claim: Claim
    scores: NDArray[np.float64]
    included: NDArray[np.bool_]
    sums: int
    confidence: float

    def counts(self) -> dict[str, GuessCount]:
        """The guesses of each bound."""
        return count_guesses(self.scores, self.included, plan_guesses(self.claim, len(self.scores), self.confidence))

    def facts(self) -> dict[str, Any]:
        """The section ``audit`` of run.json."""
        found = bounds(self.claim, self.counts(), self.confidence)
        return {
            "canaries": len(self.scores),
            "included": int(self.included.sum()),
            "sums": self.sums,
            **found,
            "estimate": estimate(self.claim, self.scores, self.included),
            "note": NOTE,
        }


class Auditor:
    """Scores canaries after each sum. ``path``: where scores are kept, so that a run that is cut off can go on.

    A sum whose request was asked before the cut is not scored again: less is seen, and the bounds stay true.
    """

    def __init__(self, config: Config, devices: AuditedDevices, path: Path | None = None) -> None:
        self.config, self.devices, self.path = config, devices, path
        self.canaries: Canaries = devices.canaries
        self.costs: Mapping[str, QueryCost] = {cost.query: cost for cost in costs_of(config, devices.users)}
        self.scores, self.sums = np.zeros(len(self.canaries)), 0
        if path is not None and path.exists():
            self._read_back(path)

    def note(self, step: RoundEvent) -> None:
        """Score one sum."""
        request = step.request
        sight = self.devices.handler.sights.get((request.query, request.round))
        cost = self.costs.get(request.query)
        parts = self._expected(request)
        if sight is None or cost is None or parts is None or step.opened.devices == 0:
            return
        self.scores += log_likelihood_ratios(
            parts,
            step.noisy - sight.rest,
            cost.noise_multiplier * request.sum.sensitivity,
            asked=None if cost.amplified else sight.asked,
            probability=cost.probability if cost.amplified else 1.0,
        )
        self.sums += 1
        if self.path is not None:
            kept = {"scores": self.scores.tolist(), "sums": self.sums}
            self.path.write_text(json.dumps(kept) + "\n", encoding="utf-8")

    def evidence(self, costs: Iterable[QueryCost], delta: float) -> Evidence:
        """What to judge the run by; ``costs``: what its ledger charged in all."""
        claim = Claim(tuple(costs), delta)
        return Evidence(claim, self.scores, self.canaries.included, self.sums, self.config.audit.confidence)

    def _expected(self, request: Request) -> sparse.csr_matrix | OuterParts | None:
        """What canaries add to a sum; None for one that they are not seen in (metrics: one direction for all)."""
        canaries, agreed, catalogue = self.canaries, request.sum, len(self.devices.handler.features)
        weighting = self.config.collaborative.short_history_weighting

        def projected() -> OuterParts:
            asked = ProjectionDirections.from_arrays(request.arrays)
            return expected.in_factors(canaries, asked.centre, asked.vectors, agreed.bound, asked.weights)

        def pairs() -> sparse.csr_matrix:
            items = request.arrays[ITEMS].astype(np.int64)
            return expected.in_cooccurrence(canaries, items, catalogue, agreed.bound, weighting)

        known: dict[Query, Callable[[], sparse.csr_matrix | OuterParts]] = {
            POPULARITY: lambda: expected.in_popularity(canaries, catalogue, agreed.bound, weighting),
            COOCCURRENCE: pairs,
            DIRECTIONS: projected,
            FACTORS: projected,
            MODEL_UPDATE: lambda: expected.in_training(canaries, agreed.length, agreed.bound, request.round),
        }
        found = known.get(QUERIES[request.query])
        return None if found is None else found()

    def _read_back(self, path: Path) -> None:
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            scores, self.sums = np.array(kept["scores"], dtype=np.float64), int(kept["sums"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"an audit's scores cannot be read: {error}", value=str(path), action="Begin in another directory"
            ) from None
        if scores.shape != self.scores.shape:
            raise StoreError("an audit's scores are of other canaries", value=str(path), action="Begin anew elsewhere")
        self.scores = scores
