"""A server that makes up runs: 25 questions under fresh run ids, each without one device, gave it 24 of 24 histories.

What names a run on a device is the manifest that the publisher signed, so Flower's run id buys nothing: the sum that
was opened once is opened for no other cohort, under no name.  The noise here is the server's, which has to be chosen by
name: every sum that opens is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from manifest_cases import Deployment, deployed_settings
from numpy.typing import NDArray

from fedrec.client import installed_code
from fedrec.client.app import app
from fedrec.client.device_context import DeviceContext
from fedrec.data.store import EventStore
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.queries.request import Request
from fedrec.server.aggregation_failed import AggregationFailedError
from fedrec.server.secure_devices import SecureDevices
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.study import Study

CONFIG = deployed_settings(
    privacy={"noise_place": "server"},
    secure_aggregation={"protocol": "secagg+", "minimum_cohort": 20, "minimum_survivors": 20, "attempts": 3},
)
VICTIMS = (0, 7, 23)


class MadeUpRuns:
    """A malicious server: it asks the deployed devices whatever it likes, under any run id and any name."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.context = deployed.device().device_context
        self.request: Request = cases.popularity_question(self.context.config, deployed.study)
        self.number = 0

    def sum_of(self, cohort: Sequence[int], name: str | None = None, attempt: int = 0) -> NDArray[np.float64] | None:
        """What it learns by one run of its own making; ``name``: what it tells the protocol that the run is called."""
        self.number += 1
        with InProcessGrid(app, self.deployed.contexts(self.number, HOSTILE), run_id=self.number) as grid:
            devices = SecureDevices(
                grid,
                grid.get_node_ids(),
                catalogue=self.context.catalogue,
                roster=self.deployed.roster,
                config=self.context.config,
                manifest=self.context.manifest,
            )
            devices.run = name or str(self.number)
            devices.places.learn({node: self.deployed.roster.device(node) for node in devices.nodes})
            for _ in range(attempt):
                devices.attempts.begin(self.request)
            try:
                return devices.aggregate(self.request, cohort).vector
            except AggregationFailedError:
                return None

    def histories(self, name: str | None = None) -> dict[int, frozenset[int]]:
        """Differences of a sum over everybody and sums without one device: the items of the devices left out."""
        everybody = range(cases.USERS)
        whole, found = self.sum_of(everybody, name), {}
        for turn, victim in enumerate(VICTIMS, 1):
            rest = self.sum_of([place for place in everybody if place != victim], name, attempt=turn)
            if whole is not None and rest is not None:
                found[victim] = frozenset(np.flatnonzero(np.abs(whole - rest) > 1e-3).tolist())
        return found


HOSTILE = {"config": deployed_settings(secure_aggregation={"protocol": "none"}).model_dump_json()}


@pytest.fixture
def server(federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpRuns]:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    monkeypatch.setattr(installed_code, "_allowed", True)
    yield MadeUpRuns(Deployment.make(federation_study, tmp_path, CONFIG))


def true_history(server: MadeUpRuns, victim: int) -> frozenset[int]:
    with EventStore.open(server.deployed.stores[victim]) as store:
        (user,) = store.users()
        held = {*store.held_out(user)}
        items = {event.item for event in store.events(user)} - held
    return frozenset(server.context.index[item] for item in items)


def rows(server: MadeUpRuns) -> int:
    with EventStore.open(server.deployed.stores[1]) as store:
        return len(DeviceLedger(store).rows())


def test_a_made_up_run_obtains_nothing(server: MadeUpRuns) -> None:
    assert server.histories() == {}  # under Flower's run id, which names nothing
    assert rows(server) == 0


def test_the_signed_run_is_opened_once_and_for_no_other_cohort(server: MadeUpRuns) -> None:
    assert server.context.manifest is not None
    name = server.context.manifest.digest
    assert server.histories(name) == {}  # the first sum is the run's own; none that differs from it follows
    assert rows(server) == 1
    assert server.sum_of(range(cases.USERS), name, attempt=9) is None
    assert rows(server) == 1


def test_with_run_ids_for_names_it_obtains_every_history_it_wants(
    server: MadeUpRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence off: as it was, when a run was what Flower calls it."""
    monkeypatch.setattr(DeviceContext, "run_name", lambda self, run_id: str(run_id))
    monkeypatch.setattr(DeviceContext, "agreement", property(lambda self: str(server.number)))
    found = server.histories()
    assert found == {victim: true_history(server, victim) for victim in VICTIMS}
