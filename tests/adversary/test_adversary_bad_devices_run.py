"""Bad devices in a whole run, over Flower's messages: it goes on, every sum is exact, who spoils one does so once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import federation_cases as cases
import hostile_cases as hostile
import numpy as np
import pytest
from hostile_cases import Stage, hostile_devices

from fedrec.queries.request import Request
from fedrec.queries.secure_wire import Exchange
from fedrec.secagg.blame import FALSE_DEALING, FALSE_SHARE
from fedrec.server.attempts import OPENED_AND_LOST
from fedrec.server.exclusions import Exclusions
from fedrec.server.federate import ServerCatalogue, federate, load_server_catalogue
from fedrec.server.results import AggregateResult
from fedrec.server.secure_devices import SecureDevices
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

EVERYBODY = set(range(cases.USERS))
# Seven of 24 may be missing.
SECURE = {
    "protocol": "secagg+",
    "minimum_cohort": 12,
    "minimum_survivors": 10,
    "dropout": 0.3,
    "neighbours": 23,
    "threshold": 12,
}
CONFIG = cases.settings(
    secure_aggregation=SECURE,
    collaborative={"cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
    training={"rounds": 4},
    evaluation={"private_metrics": False},
)
TRAINING = "training"


@pytest.fixture(scope="module")
def server_catalogue(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> ServerCatalogue:
    return load_server_catalogue(cases.place(federation_study, tmp_path_factory.mktemp("placed"))[0])


@dataclass
class Watched:
    """Stands between a run and its devices: has them misbehave by the query, and holds every sum to what was masked."""

    devices: SecureDevices
    stage: Stage
    acts: Callable[[Request], dict[tuple[int, Exchange], Any]]
    sums: list[AggregateResult] = field(default_factory=list)
    true: Callable[..., AggregateResult] | None = None

    def __enter__(self) -> Watched:
        self.true = self.devices.aggregate
        self.devices.aggregate = self._aggregate  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        del self.devices.aggregate

    def _aggregate(self, request: Request, cohort: Any) -> AggregateResult:
        self.stage.acts = self.acts(request)
        assert self.true is not None
        out = self.excluded()
        opened = self.true(request, cohort)
        if opened.devices:
            # Who was excluded before, and not asked again for want of others.
            who = EVERYBODY - missing(self.stage.acts) - (out & self.excluded())
            np.testing.assert_array_equal(opened.vector, self.stage.sum(request, who))
            assert opened.devices == len(who)
        self.sums.append(opened)
        return opened

    def excluded(self) -> set[int]:
        """Nodes that are not asked."""
        devices = self.devices
        return {node for node in devices.nodes if devices.places.device(node) in devices.exclusions}


def missing(acts: dict[tuple[int, Exchange], Any]) -> set[int]:
    """Who fails before it has sent a vector."""
    late = (Exchange.CONFIRM, Exchange.UNMASK)
    return {node for node, exchange in acts if exchange not in late}


def test_garbage_silence_and_lies_in_every_round_stop_no_run(
    federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path
) -> None:
    """Three with garbage boxes, two silent, four who lie about every share, in each of the sums of a run."""
    acts: dict[tuple[int, Exchange], Any] = {(node, Exchange.SHARE): hostile.false_boxes for node in (0, 5, 9)}
    acts |= {(node, Exchange.ADVERTISE): hostile.silence for node in (2, 14)}
    acts |= {(node, Exchange.UNMASK): hostile.false_shares for node in (3, 11, 17, 20)}
    with (
        hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage),
        Watched(devices, stage, lambda request: acts) as watched,
    ):
        record = federate(CONFIG, server_catalogue, devices, tmp_path / "run")
    lines = record["rounds"]
    assert len(lines) == len(watched.sums) >= 5
    # All that may be missing are: the liars are known from the first sum on, and asked again for want of others.
    assert [line["devices"] for line in lines] == [cases.USERS - 5] * len(lines)
    assert sum(sum(line["aborted"].values()) for line in lines) <= 1
    assert lines[0]["excluded"] == {FALSE_SHARE: 4}
    assert record["stopped"] is None


def test_a_liar_that_nobody_can_correct_costs_a_round_once(
    federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path
) -> None:
    """What it dealt is of another secret than it published: only the opening shows it. Then it is not asked again."""
    lying = {(4, Exchange.SHARE): hostile.false_commitment}

    def acts(request: Request) -> dict[tuple[int, Exchange], Any]:
        return lying if request.query == TRAINING else {}

    with (
        hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage),
        Watched(devices, stage, acts) as watched,
    ):
        record = federate(CONFIG, server_catalogue, devices, tmp_path / "run")
    trained = [line for line in record["rounds"] if line["query"] == TRAINING]
    assert [line["devices"] for line in trained] == [0, 23, 23, 23]
    assert [line["reason"] for line in trained] == [OPENED_AND_LOST, None, None, None]
    assert record["secure_aggregation"]["excluded"] == {FALSE_DEALING: 1}
    assert len(watched.sums) == len(record["rounds"])


def test_without_exclusion_the_same_liar_costs_every_round(
    federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Exclusions, "__contains__", lambda self, device: False)

    def acts(request: Request) -> dict[tuple[int, Exchange], Any]:
        return {(4, Exchange.SHARE): hostile.false_commitment} if request.query == TRAINING else {}

    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage), Watched(devices, stage, acts):
        record = federate(CONFIG, server_catalogue, devices, tmp_path / "run")
    trained = [line for line in record["rounds"] if line["query"] == TRAINING]
    assert [line["devices"] for line in trained] == [0, 0, 0, 0]


def test_false_receipts_cost_two_rounds_at_most(
    federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path
) -> None:
    """Its neighbours say so together, which is suspicion and no proof: they might lie."""

    def acts(request: Request) -> dict[tuple[int, Exchange], Any]:
        return {(4, Exchange.MASK): hostile.false_receipts} if request.query == TRAINING else {}

    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage), Watched(devices, stage, acts):
        record = federate(CONFIG, server_catalogue, devices, tmp_path / "run")
    trained = [line for line in record["rounds"] if line["query"] == TRAINING]
    assert [line["devices"] for line in trained] == [0, 0, 23, 23]
    assert record["secure_aggregation"]["excluded"] == {"suspected": 1}
