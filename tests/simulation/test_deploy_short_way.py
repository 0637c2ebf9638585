"""docs/deployment.md, the short way: run as it stands, from nothing to devices that rank offline, in ten commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fedrec.client.budget import ledger_facts
from fedrec.data.store import EventStore
from fedrec.release.bundle import read_release
from fedrec.server.operation.server_directory import server_of
from simulations.benchmarks.deployment_faults import FaultyDeployment, kill_once
from simulations.benchmarks.deployment_short_way import ShortWay, ended, processes, shell

DEVICES = 3
pytestmark = [pytest.mark.slow, pytest.mark.flower]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with ended(tmp_path):
        yield tmp_path


def test_from_nothing_to_devices_that_rank_offline_in_ten_commands(place: Path) -> None:
    way = ShortWay.of_page()
    commands = [line for line in way.run.splitlines() if line.startswith("fedrec ")]
    assert len(commands) <= 10
    shell(way.made, place)
    said = shell(way.run, place)
    assert said.count("For u00000") == DEVICES
    server = server_of(place / "site")
    record = json.loads((server.run(1) / "server.json").read_text(encoding="utf-8"))
    assert record["secure_aggregation"]["protocol"] == "secagg+"
    assert record["privacy"]["noise_place"] == "distributed"
    assert record["privacy"]["epsilon_server"] == pytest.approx(8.0, rel=1e-3)
    assert [line["devices"] for line in record["rounds"]] == [DEVICES]
    publisher = bytes.fromhex(server.facts().publisher)
    releases = {read_release(place / f"phone-{n}" / "release", publisher=publisher).id for n in range(DEVICES)}
    assert len(releases) == 1
    for number in range(DEVICES):
        with EventStore.open(place / "stores" / f"{number:05d}.sqlite") as store:
            assert ledger_facts(store)["epsilon"] == pytest.approx(8.0, rel=1e-3)
    _survives_kills(place, os.environ.get("FEDREC_KILLS", "").split())
    marks = processes(place)
    assert len(marks) == 2 * DEVICES + 3 and all(mark.alive for mark in marks)
    said = shell(way.after, place)
    assert '"ready": true' in said
    assert "fedrec_sums_opened 1" in said and f"fedrec_nodes_enrolled {DEVICES}" in said
    assert (place / "backup.tar").is_file()
    assert "it is on the newest roster" in said
    assert "nothing was under way" in said
    assert not any(mark.alive for mark in marks)
    _tokens_and_keys_are_in_no_log(place)


def _survives_kills(place: Path, targets: Sequence[str]) -> None:
    """More runs, in each of which a process is killed, such as FEDREC_KILLS="superlink serverapp" names them.

    Each takes more than a minute, so the suite has none; tests/server/test_server_kill.py kills a server in less,
    and simulations/benchmarks/deployment_faults.py has the long version.
    """
    deployment = FaultyDeployment(place)
    for counter, target in enumerate(targets, 2):
        outcome = kill_once(deployment, target, counter, at=2.0, patience=900.0)
        assert outcome.at is not None, outcome
        assert (outcome.phase, outcome.sums, outcome.verified) == ("finished", 1, True), outcome


def _tokens_and_keys_are_in_no_log(place: Path) -> None:
    server = server_of(place / "site")
    secrets = [server.token.read_text(encoding="ascii").strip(), server.superexec_secret.read_bytes().hex()]
    secrets += [(place / "site" / "publisher" / "publisher.key").read_text(encoding="ascii").strip()]
    for log in place.rglob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        assert not any(secret in text for secret in secrets), log
        assert "u00000" not in text, log
