"""kill -9 at random instants of a deployment that runs: does the run come to its end, and do ledgers hold?

    python -m simulations.benchmarks.deployment_faults DIR --kills 20 --out FILE.md

In DIR (new) it makes a server and three devices with the commands of docs/deployment.md, lets one run pass undisturbed,
and then signs one run after another: in each, one process is killed at a random instant between the run's start and
when the undisturbed one ended: SuperLink, SuperExec, the run's own, a device's SuperNode, or its parent, which answers.
A run that does not finish must say why.  Wherever it ended, the server's ledger and those of the devices are verified.
``--target`` (may be given again) takes some of these kinds only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fedrec.client.budget import ledger_facts
from fedrec.console import say
from fedrec.data.store import EventStore
from fedrec.detached import ProcessMark
from fedrec.privacy.ledger import Ledger
from fedrec.server.run_files import LEDGER
from server.deploy.deployment import small_settings
from simulations.benchmarks.loopback_deployment import OVER, LoopbackDeployment

TARGETS: Final = ("superlink", "superexec", "serverapp", "supernode", "device")
USERS: Final = 20
_ROUNDS: Final = 2
SETTINGS: Final = small_settings("faults", rounds=_ROUNDS, attempts=4, privacy="delta = 0.01\nspare_attempts = 2")


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


class FaultyDeployment(LoopbackDeployment):
    """A deployment whose processes are killed."""

    def kill(self, target: str, seconds: float = 180.0) -> bool:
        """kill -9 one process; whether there was one within so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.run()["phase"] not in OVER:
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
        for number in range(len(self.devices)):
            with EventStore.open(self.store(number)) as store:
                ledger_facts(store)
        return True

    def _mark(self, target: str) -> ProcessMark | None:
        if target not in ("supernode", "device"):
            return self.server_process(target)
        answers = self.device_process(random.choice(self.devices))
        return answers if target == "device" or answers is None else child_of(answers)


def child_of(parent: ProcessMark) -> ProcessMark | None:
    """The first child of a process, where it has one."""
    try:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return None
    return ProcessMark.of(int(children[0])) if children and parent.alive else None


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
    parser.add_argument("--target", action="append", choices=TARGETS, help="of this kind only; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    deployment, drawn, outcomes = FaultyDeployment(given.directory), random.Random(given.seed), list[KillOutcome]()
    random.seed(given.seed)
    waiting = [target for _ in range(given.kills) for target in given.target or TARGETS]
    with deployment.up(SETTINGS, users=USERS):
        deployment.begun(1)
        say(f"the first run: {deployment.wait(900.0)['phase']}")
        usual, counter, most = _undisturbed(deployment), 2, 3 * len(waiting) + 2
        while waiting and counter < most:
            target, counter = waiting[0], counter + 1
            outcomes.append(
                kill_once(deployment, target, counter, drawn.uniform(0.0, usual), patience=10 * usual + 300)
            )
            if outcomes[-1].at is not None:  # else the run was over before
                waiting.pop(0)
            say(json.dumps(asdict(outcomes[-1])))
            head = f"Undisturbed, a run of {_ROUNDS} rounds took {usual:.0f} s. Kills at random instants of that time."
            given.out.write_text(f"{head}\n\n{table_of(outcomes)}", encoding="utf-8")
    return 0 if not waiting and all(one.verified and one.phase in OVER for one in outcomes) else 1


def _undisturbed(deployment: FaultyDeployment) -> float:
    """Seconds of the second run, in which devices are there already."""
    deployment.call("server", "enrol", "site", "--again", "--replace")
    deployment.begun(2)
    begun = time.monotonic()
    say(f"undisturbed: {deployment.wait(900.0)['phase']}")
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
