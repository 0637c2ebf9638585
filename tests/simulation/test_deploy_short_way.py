"""docs/deployment.md, the short way: run as it stands, from nothing to devices that rank offline, in ten commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fedrec.client.budget import ledger_facts
from fedrec.client.flower_runtime import free_port
from fedrec.data.store import EventStore
from fedrec.detached import ProcessMark
from fedrec.release.bundle import read_release
from fedrec.server.operation.server_directory import server_of
from simulations.benchmarks.deployment_faults import FaultyDeployment, kill_once

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## The short way") : PAGE.index("## Command by command")]
MADE, RUN, AFTER = re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL)
DEVICES = 3
pytestmark = [pytest.mark.slow, pytest.mark.flower]


def _script(block: str) -> str:
    return re.sub(r"^\$ ", "", block, flags=re.MULTILINE)


def _ports(script: str, ports: list[int]) -> str:
    """The same commands at ports that are free: others on the machine may have the usual ones."""
    listen, control, monitor = ports
    chosen = f"--listen 127.0.0.1:{listen} --control-port {control} --monitor-port {monitor}"
    script = script.replace("fedrec server init site", f"fedrec server init site {chosen}")
    return script.replace("127.0.0.1:9094", f"127.0.0.1:{monitor}")


def _marks(out: Path) -> list[ProcessMark]:
    """All processes that the state files name."""
    found: list[ProcessMark | None] = []
    for state in (out / "site" / "server" / "running.json", *out.glob("phone-*/running.json")):
        tree = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
        found += [ProcessMark.read(tree.get(name)) for name in ("process", "taking_part")]
        found += [ProcessMark.read(one.get("process")) for one in tree.get("processes", {}).values()]
    return [mark for mark in found if mark is not None]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for mark in _marks(tmp_path):
        mark.end(10.0)


def _run(script: str, place: Path) -> str:
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "FEDREC_CACHE": str(place / "cache"),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    logs = "".join(path.read_text(errors="replace")[-2000:] for path in place.rglob("*.log") if done.returncode)
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return done.stdout


def test_from_nothing_to_devices_that_rank_offline_in_ten_commands(place: Path) -> None:
    commands = [line for line in RUN.splitlines() if line.startswith("$ fedrec ")]
    assert len(commands) <= 10
    ports = [free_port() for _ in range(3)]
    _run(_script(MADE), place)
    said = _run(_ports(_script(RUN), ports), place)
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
    marks = _marks(place)
    assert len(marks) == 2 * DEVICES + 3 and all(mark.alive for mark in marks)
    said = _run(_ports(_script(AFTER), ports), place)
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
