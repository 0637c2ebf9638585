"""A federation in which some devices are the attacker's: what they send in place of an honest contribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.audit.attacks.exposure import promoted_counts, promoted_pairs, promotion, scaled
from fedrec.collaborative import item_tables
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.queries.cooccurrence import COOCCURRENCE
from fedrec.queries.model_update import MODEL_UPDATE
from fedrec.queries.popularity import POPULARITY
from fedrec.queries.query import Query
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.secagg.rotation import rotate
from fedrec.server.results import AggregateResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.training.update import Update

# bound: every malicious device keeps to the bound that an honest one clips to. ring: it sends any elements of the ring,
# as secure aggregation cannot see. floats: it sends any numbers, and the server averages them.
Reach = Literal["bound", "ring", "floats"]
MINED_USERS = 256
LIST = 10
# Of plain federated averaging: how much the malicious devices together outweigh all honest ones at their bound.
_OUTWEIGH = 10.0


@dataclass(frozen=True)
class Attacker:
    """Who attacks: ``devices`` of them, for the item at place ``target``, within ``reach``.

    ``weights``: [items], how popular the attacker thinks the items are.
    """

    devices: int
    target: int
    reach: Reach
    weights: NDArray[np.float64]
    seed: int


class PoisonedDevices:
    """Honest devices, and the attacker's after them in the roster, who answer every query."""

    def __init__(self, config: Config, features: Features, honest: CohortDevices, attacker: Attacker) -> None:
        self.config, self.honest, self.attacker, self.features = config, honest, attacker, features

    @property
    def users(self) -> int:
        """The server cannot tell them apart."""
        return self.honest.users + self.attacker.devices

    @property
    def size(self) -> int:
        """One device a user."""
        return self.users

    @property
    def last_update(self) -> Update | None:
        """Of the honest devices."""
        return self.honest.last_update

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """The sum over the cohort, of which the attacker sees the request and says its part."""
        places = [place for place in cohort if place < self.honest.size]
        opened = self.honest.aggregate(request, places)
        malicious = len(cohort) - len(places)
        if not malicious:
            return opened
        agreed, part = request.sum, self._part(request, malicious)
        if agreed.rotation:
            part = rotate(part, bytes.fromhex(agreed.rotation))  # opened sums are still turned
        if self.attacker.reach == "ring":
            # Short of where an element of the sum would wrap around and turn against the attacker.
            most = agreed.element_bound * (agreed.rows - self.honest.users / 2)
            part = np.clip(part, -most, most)
        if self.attacker.reach == "floats":
            vector = opened.vector + part
        else:
            total = agreed.ring.encode(opened.vector, agreed.resolution)
            vector = agreed.open(agreed.ring.add(total, agreed.ring.encode(part, agreed.resolution)))
        return AggregateResult(vector, len(cohort), agreed.bytes_up * len(cohort))

    def _part(self, request: Request, devices: int) -> NDArray[np.float64]:
        """What the malicious devices of a cohort add, together; they all send the same."""
        direction = self._direction(request)
        agreed = request.sum
        if self.attacker.reach == "bound":
            return scaled(direction, agreed.bound * devices)
        if self.attacker.reach == "floats":
            return scaled(direction, agreed.bound * agreed.rows * _OUTWEIGH)
        return scaled(direction, agreed.bound * (agreed.rows - self.honest.users / 2))

    def _direction(self, request: Request) -> NDArray[np.float64]:
        attacker, length = self.attacker, request.sum.length
        directions: dict[Query, Callable[[], NDArray[np.float64]]] = {
            POPULARITY: lambda: promoted_counts(attacker.target, length),
            COOCCURRENCE: lambda: self._pairs(request),
            MODEL_UPDATE: lambda: self._update(request),
        }
        return directions.get(QUERIES[request.query], lambda: np.zeros(length))()

    def _pairs(self, request: Request) -> NDArray[np.float64]:
        items = np.asarray(request.arrays["items"], dtype=np.int64)
        return promoted_pairs(self.attacker.target, items, self.attacker.weights[items])

    def _update(self, request: Request) -> NDArray[np.float64]:
        attacker = self.attacker
        tables = item_tables.agreed(self.config, request.arrays, len(self.features.ids))
        read = item_tables.extended(self.config, self.features, tables)
        model = build_model(self.config, read)
        parameters.receive(model, request.arrays)
        return promotion(
            model,
            read,
            attacker.target,
            users=MINED_USERS,
            k=LIST,
            seed=attacker.seed + request.round,
        )
