"""A whole run as a deployment has it, but for the network: the server's app and devices, each with what is its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import federation_cases as cases
import pytest
from flwr.app import Context, Message, RecordDict
from manifest_cases import Deployment, deployed_settings

from fedrec.client import installed_code
from fedrec.client.app import app
from fedrec.client.ranker import recommend
from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import FedrecError
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.queries.cohorts import fixed_cohort
from fedrec.release.approve import approve_release
from fedrec.server import app as server_app
from fedrec.server.attempts import OPENED_AND_LOST, AttemptCounter
from fedrec.server.state import ServerState, UnchargedSum
from fedrec.simulation.engines.grid import InProcessGrid, Spy
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow


def one_sum(noise_place: str) -> Config:
    return deployed_settings(
        model={"tower": False, "notes": False, "photos": False},
        collaborative={"cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
        evaluation={"private_metrics": False},
        privacy={"shares": {}, "noise_place": noise_place},
        secure_aggregation={"protocol": "secagg+", "minimum_cohort": 10, "minimum_survivors": 10},
    )


def sampled(noise_place: str) -> Config:
    return deployed_settings(
        model={"dimension": 4, "notes": False, "photos": False},
        collaborative={"popularity": False, "cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
        training={"rounds": 3, "negatives": 8, "sampling": "fixed", "cohort": 20},
        evaluation={"private_metrics": False},
        privacy={"shares": {}, "noise_place": noise_place},
        secure_aggregation={"protocol": "secagg+", "minimum_cohort": 10, "minimum_survivors": 10},
    )


CONFIG = one_sum("distributed")


class Cut(BaseException):
    """Stands for the server being killed."""


@pytest.fixture
def deployed(federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    monkeypatch.setattr(installed_code, "_allowed", True)
    return Deployment.make(federation_study, tmp_path / "placed", CONFIG)


def node_of(place: int) -> int:
    """Flower's id of the node with the device at a place of the roster: no order that the server could guess."""
    return 7 + (place * 11 + 5) % cases.USERS


def run(deployed: Deployment, out: Path, run_id: int, spy: Spy | None = None) -> dict[str, Any]:
    """Start the server's app, under a run id that Flower made; nodes are in another order than the roster's devices."""
    files = {"manifest": deployed.manifest_file, "catalogue": deployed.catalogue, "roster": deployed.roster_file}
    settings: dict[str, Any] = {**{name: str(path) for name, path in files.items()}, "out": str(out), "config": ""}
    settings |= {"stores": "", "devices": cases.USERS, "wait": 0, "users": 0, "patience": 60, "grace": 2}
    contexts = {node_of(place): context for place, context in deployed.contexts(run_id).items()}
    with InProcessGrid(app, contexts, run_id=run_id, spy=spy) as grid:
        server_app.app(grid, Context(run_id, 1, {}, RecordDict(), settings))
    record: dict[str, Any] = json.loads((out / "server.json").read_text())
    return record


def charged(deployed: Deployment) -> list[tuple[str, str, int]]:
    with EventStore.open(deployed.stores[3]) as store:
        return [(row.agreement, row.query, row.round) for row in DeviceLedger(store).rows()]


def test_a_signed_run_is_run_once_whatever_flower_calls_it(deployed: Deployment, tmp_path: Path) -> None:
    manifest = deployed.draft(CONFIG)
    deployed.sign(manifest)
    record = run(deployed, tmp_path / "out", run_id=71)
    assert record["manifest"] == {"digest": manifest.digest, "counter": 1}
    assert [line["devices"] for line in record["rounds"]] == [cases.USERS]
    assert charged(deployed) == [(manifest.digest, "popularity", 0)]
    # The server forgets, and says that it is another run: devices do not forget.
    with pytest.raises(FedrecError):
        run(deployed, tmp_path / "again", run_id=72)
    assert len(charged(deployed)) == 1
    # The publisher wants another one, and signs it.
    newer = deployed.draft(CONFIG, counter=2)
    deployed.sign(newer)
    assert run(deployed, tmp_path / "newer", run_id=73)["manifest"]["counter"] == 2
    assert charged(deployed)[1:] == [(newer.digest, "popularity", 0)]
    # Devices rank with it once the publisher has looked at it.
    approve_release(tmp_path / "newer" / "model", deployed.publisher)
    with EventStore.open(deployed.stores[0]) as store:
        user = store.users()[0]
    assert len(recommend(tmp_path / "newer" / "model", deployed.stores[0], user, 5)) == 5


def test_a_server_that_is_cut_off_before_a_sum_opens_goes_on_with_the_next_attempt(
    deployed: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: AttemptCounter) -> None:
        raise Cut

    # Where devices add the noise, each attempt is paid for again (tests/server/test_server_kill.py).
    trusting = one_sum("server")
    deployed.sign(deployed.draft(trusting, counter=2))
    with monkeypatch.context() as killed:
        killed.setattr(AttemptCounter, "opening", cut)
        with pytest.raises(Cut):
            run(deployed, tmp_path / "out", run_id=81)
    record = run(deployed, tmp_path / "out", run_id=82)
    assert [line["devices"] for line in record["rounds"]] == [cases.USERS]
    assert record["rounds"][0]["aborted"] == {}
    # Its attempt's number was kept: with the first number again, every device would have refused.
    with monkeypatch.context() as forgetful:
        forgetful.setattr(AttemptCounter, "keep_in", lambda self, store: None)
        deployed.sign(deployed.draft(trusting, counter=3))
        with monkeypatch.context() as killed:
            killed.setattr(AttemptCounter, "opening", cut)
            with pytest.raises(Cut):
                run(deployed, tmp_path / "forgetful", run_id=83)
        assert run(deployed, tmp_path / "forgetful", run_id=84)["rounds"][0]["aborted"] != {}


def test_only_drawn_devices_are_in_a_round_and_the_server_learns_who_is_who(
    federation_study: Study, tmp_path: Path, deployed: Deployment
) -> None:
    manifest = deployed.draft(sampled("server"), counter=2)
    deployed.sign(manifest)
    asked: list[set[int]] = []
    joined: list[set[int]] = []

    def spy(down: Message, up: Message) -> None:
        if down.metadata.message_type.endswith("advertise"):
            number = int(down.metadata.group_id.split()[1])
            while len(asked) < number:
                asked.append(set())
                joined.append(set())
            asked[number - 1].add(down.metadata.dst_node_id)
            if up.has_content():
                joined[number - 1].add(down.metadata.dst_node_id)

    record = run(deployed, tmp_path / "out", run_id=91, spy=spy)
    assert [line["devices"] for line in record["rounds"]] == [20, 20, 20]
    for number, nodes in enumerate(joined, 1):
        drawn = fixed_cohort(manifest.cohort_key, cases.USERS, 20, number)
        assert nodes == {node_of(place) for place in drawn}
    assert len(asked[0]) == cases.USERS  # nobody is known yet
    assert asked[0] > joined[0]
    known = joined[0] | joined[1]
    assert asked[2] - joined[2] <= {node_of(place) for place in range(cases.USERS)} - known


@pytest.mark.parametrize("noise_place", ["server", "distributed"])
def test_a_training_round_that_was_opened_and_lost_is_over_nobody_and_the_run_goes_on(
    noise_place: str, deployed: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.sign(deployed.draft(sampled(noise_place), counter=2))
    save = ServerState.save_pending

    def cut_in_round_two(self: ServerState, name: str, pending: UnchargedSum) -> None:
        if name == "training/2":
            raise Cut
        save(self, name, pending)

    with monkeypatch.context() as killed:
        killed.setattr(ServerState, "save_pending", cut_in_round_two)
        with pytest.raises(Cut):
            run(deployed, tmp_path / "out", run_id=101)
    record = run(deployed, tmp_path / "out", run_id=102)
    assert [(line["devices"], line["reason"]) for line in record["rounds"]] == [
        (20, None),
        (0, OPENED_AND_LOST),
        (20, None),
    ]
    assert record["stopped"] is None
    assert record["privacy"]["epsilon_released"] <= cases.EPSILON * 1.001
