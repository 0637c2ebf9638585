"""kill -9 at random instants of a deployment that runs: does the run come to its end, and do ledgers hold?

    python -m simulations.benchmarks.deployment_faults DIR --kills 20 --out FILE.md

In DIR (new) it makes a server and three devices with the commands of docs/deployment.md, lets one run pass undisturbed,
and then signs one run after another: in each, one process (SuperLink, SuperExec, the run's own, or a device's) is
killed at a random instant between the run's start and when the undisturbed one ended.  A run that does not finish must
say why.  Wherever it ended, the server's ledger and those of the devices are verified.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fedrec.client.budget import ledger_facts
from fedrec.client.flower_runtime import free_port
from fedrec.console import say
from fedrec.data.store import EventStore
from fedrec.detached import ProcessMark
from fedrec.errors import ProtocolError
from fedrec.privacy.ledger import Ledger
from fedrec.server.operation.running import read_running
from fedrec.server.operation.server_directory import ServerDirectory, server_of
from fedrec.server.run_files import LEDGER
from fedrec.server.run_marks import running_process
from server.deploy.deployment import DEVICES, small_settings

TARGETS: Final = ("superlink", "superexec", "serverapp", "supernode")
USERS: Final = 20
_COMMAND: Final = (sys.executable, "-m", "fedrec.cli.main")
_OVER: Final = ("finished", "stopped")
SETTINGS: Final = small_settings("faults", rounds=3, attempts=4, privacy="delta = 0.01\nspare_attempts = 2")


@dataclass(frozen=True)
class KillOutcome:
    """One run: which process was killed, ``at`` how many seconds after the start (None: it was not found), how it
    ended (``phase`` and what was ``said``), after how many ``seconds``, with how many ``sums``, and whether all
    ledgers verified."""

    target: str
    at: float | None
    phase: str
    said: str
    seconds: float
    sums: int
    verified: bool


class FaultyDeployment:
    """A server and its devices on loopback, in a directory of their own, or in one where they are up already."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.environment = {**os.environ, "FEDREC_CACHE": str(self.directory / "cache")}
        self.devices = [f"phone-{number}" for number in range(DEVICES)]

    @property
    def server(self) -> ServerDirectory:
        return server_of(self.directory / "site")

    def call(self, *words: str) -> str:
        """One of fedrec's commands. Raises ProtocolError where it fails."""
        done = subprocess.run(
            [*_COMMAND, *words], cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ProtocolError(f"fedrec {' '.join(words[:2])} failed: {(done.stdout + done.stderr)[-1500:]}")
        return done.stdout

    @contextmanager
    def up(self) -> Iterator[None]:
        """Everything from nothing, up while the context lasts, with its first run signed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "settings.toml").write_text(SETTINGS, encoding="utf-8")
        self.call("data", "shop", "shop", "--users", str(USERS), "--items", "150")
        self.call("data", "stores", "shop", "--out", "stores")
        ports = [str(free_port()) for _ in range(3)]
        where = ["--listen", f"127.0.0.1:{ports[0]}", "--control-port", ports[1], "--monitor-port", ports[2]]
        self.call("server", "init", "site", "--settings", "settings.toml", "--catalogue", "shop", *where)
        try:
            self.call("server", "up", "site", "--detach", "--patience", "30", "--wait", "240")
            for number, name in enumerate(self.devices):
                store = ["--store", f"stores/{number:05d}.sqlite", "--every", "1"]
                self.call("device", "up", name, "--invite", "site/invite.json", *store, "--detach")
            self.call("server", "enrol", "site", *(f"{name}/request.json" for name in self.devices))
            yield
        finally:
            for name in self.devices:
                with suppress(ProtocolError):
                    self.call("device", "down", name)
            with suppress(ProtocolError):
                self.call("server", "down", "site")

    def wait(self, seconds: float) -> dict[str, Any]:
        """What the run's keeper says once the newest run is over, or after so many seconds."""
        end = time.monotonic() + seconds
        while (run := self._run())["phase"] not in _OVER and time.monotonic() < end:
            time.sleep(0.2)
        return run

    def begun(self, counter: int, seconds: float = 300.0) -> None:
        """Return once a run has been started. Raises ProtocolError after so many seconds."""
        end = time.monotonic() + seconds
        while not ((run := self._run())["counter"] == counter and run["phase"] in ("running", *_OVER)):
            if time.monotonic() >= end:
                raise ProtocolError("a run was not started", value=run)
            time.sleep(0.1)

    def kill(self, target: str, seconds: float = 180.0) -> bool:
        """kill -9 one process; whether there was one within so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._run()["phase"] not in _OVER:
            mark = self._mark(target)
            if mark is not None and mark.alive:
                os.kill(mark.pid, signal.SIGKILL)
                return True
            time.sleep(0.1)
        return False

    def verified(self, counter: int) -> bool:
        """Whether the chain of each ledger holds, and no device paid for more than the run's budget."""
        ledger = self.server.run(counter) / LEDGER
        if ledger.exists():
            with Ledger.open(ledger) as opened:
                opened.verify()
                spent, budget = opened.spent(), opened.budget
            if budget is not None and (spent or 0.0) > budget.epsilon * (1 + 1e-9):
                return False
        for number in range(DEVICES):
            with EventStore.open(self.directory / "stores" / f"{number:05d}.sqlite") as store:
                ledger_facts(store)
        return True

    def _run(self) -> dict[str, Any]:
        run: dict[str, Any] = read_running(self.server).get("run", {"phase": "waiting", "counter": 0})
        return run

    def _mark(self, target: str) -> ProcessMark | None:
        if target == "serverapp":
            return running_process(self.server.run(self._run()["counter"]))
        if target == "supernode":
            tree = json.loads((self.directory / random.choice(self.devices) / "running.json").read_text())
            return ProcessMark.read(tree.get("taking_part"))
        return ProcessMark.read(read_running(self.server)["processes"][target].get("process"))


def kill_once(deployment: FaultyDeployment, target: str, counter: int, at: float, *, patience: float) -> KillOutcome:
    """Sign the next run, kill one process ``at`` seconds after its start, and wait for the end of it."""
    deployment.call("server", "enrol", "site", "--again", "--replace")
    deployment.begun(counter)
    begun = time.monotonic()
    time.sleep(at)
    found = deployment.kill(target)
    run = deployment.wait(patience)
    seconds = time.monotonic() - begun
    return KillOutcome(
        target, at if found else None, run["phase"], run["said"], seconds, run["sums"], deployment.verified(counter)
    )


def table_of(outcomes: Sequence[KillOutcome]) -> str:
    """The outcomes as a page: a row for each kind of process, then every run that did not finish."""
    rows = ["| killed | kills | finished | stopped with a reason | neither | ledgers verified | seconds, median |"]
    rows.append("|---|---|---|---|---|---|---|")
    for target in TARGETS:
        mine = [one for one in outcomes if one.target == target and one.at is not None]
        if not mine:
            continue
        done = sum(one.phase == "finished" for one in mine)
        stopped = sum(one.phase == "stopped" and bool(one.said) for one in mine)
        middle = sorted(one.seconds for one in mine)[len(mine) // 2]
        good = sum(one.verified for one in mine)
        rest = len(mine) - done - stopped
        rows.append(f"| {target} | {len(mine)} | {done} | {stopped} | {rest} | {good} | {middle:.0f} |")
    rows += ["", *(f"- {one.target} after {one.at:.1f} s: {one.said}" for one in outcomes if _odd(one))]
    return "\n".join(rows) + "\n"


def _odd(one: KillOutcome) -> bool:
    return one.at is not None and one.phase != "finished"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all of it; leaves with 1 where a run neither finished nor said why, or a ledger does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kills", type=int, default=20, help="of each kind of process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    deployment, drawn, outcomes = FaultyDeployment(given.directory), random.Random(given.seed), list[KillOutcome]()
    random.seed(given.seed)
    with deployment.up():
        deployment.begun(1)
        begun = time.monotonic()
        first = deployment.wait(900.0)
        usual = time.monotonic() - begun
        say(f"undisturbed: {first['phase']} after {usual:.0f} s")
        for number in range(given.kills * len(TARGETS)):
            target = TARGETS[number % len(TARGETS)]
            at = drawn.uniform(0.0, usual)
            outcomes.append(kill_once(deployment, target, number + 2, at, patience=10 * usual + 300))
            say(json.dumps(asdict(outcomes[-1])))
            head = f"Undisturbed, a run of three rounds took {usual:.0f} s. Kills at random instants of that time.\n\n"
            given.out.write_text(head + table_of(outcomes), encoding="utf-8")
    return 0 if all(one.verified and one.phase in _OVER for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
