"""kill -9 at random instants of a deployment that runs: does the run come to its end, and do ledgers hold?

    python -m simulations.benchmarks.deployment_faults DIR --kills 20 --out FILE.md

In DIR (new) it makes a server and three devices with the commands of docs/deployment.md, and signs a run of many
rounds.  While it is under way, one process after another is killed at a random instant: SuperLink, SuperExec, the run's
own, a device's SuperNode, or its parent, which answers.  After each kill the run must open a further sum, or finish, or
stop and say why; then the server's ledger and those of the devices are verified, and the next process is killed.  Where
the run is over, another one is signed.  ``--target`` (may be given again) takes some of these kinds only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fedrec.client.budget import ledger_facts
from fedrec.console import say
from fedrec.data.store import EventStore
from fedrec.detached import ProcessMark
from fedrec.errors import ProtocolError
from fedrec.privacy.ledger import Ledger
from fedrec.server.run_files import LEDGER
from server.deploy.deployment import small_settings
from simulations.benchmarks.loopback_deployment import OVER, LoopbackDeployment

TARGETS: Final = ("superlink", "superexec", "serverapp", "supernode", "device")
USERS: Final = 20
_ROUNDS: Final = 40
_PATIENCE: Final = 900.0
SETTINGS: Final = small_settings("faults", rounds=_ROUNDS, attempts=8, privacy="delta = 0.01\nspare_attempts = 40")
WENT_ON: Final = "went on"


@dataclass(frozen=True)
class KillOutcome:
    """One kill: which process, ``at`` how many seconds after the wait for it began (None: it was not found); what came
    of the run (``phase``: "went on" after a further sum, or how it ended; what was ``said``), after how many
    ``seconds``, with how many ``sums``; and whether all ledgers verified."""

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
            with _copied(ledger) as copy, Ledger.open(copy) as opened:
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


@contextmanager
def _copied(database: Path) -> Iterator[Path]:
    """A copy of one moment, while the context lasts: the run may be writing."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / database.name
        with (
            closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30.0)) as read,
            closing(sqlite3.connect(copy)) as written,
        ):
            read.backup(written)
        yield copy


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
    time.sleep(at)
    return _killed(deployment, target, counter, at, lambda: deployment.wait(patience))


def kill_under_way(
    deployment: FaultyDeployment, target: str, counter: int, at: float, *, patience: float
) -> KillOutcome:
    """Kill one process of the run that is under way in ``at`` seconds, and wait for a further sum, or the end."""
    time.sleep(at)

    def further() -> Mapping[str, Any]:
        before, end = deployment.sums(counter), time.monotonic() + patience
        while time.monotonic() < end:
            run = deployment.run()
            if run["phase"] in OVER:
                return run
            if deployment.sums(counter) > before:
                return {**run, "phase": WENT_ON}
            time.sleep(0.2)
        return deployment.run()

    return _killed(deployment, target, counter, at, further)


def _killed(
    deployment: FaultyDeployment, target: str, counter: int, at: float, wait: Callable[[], Mapping[str, Any]]
) -> KillOutcome:
    found = deployment.kill(target)
    begun = time.monotonic()
    run = wait()
    seconds = time.monotonic() - begun
    verified = deployment.verified(counter)
    said = str(run["said"])
    return KillOutcome(
        target, at if found else None, str(run["phase"]), said, seconds, deployment.sums(counter), verified
    )


def table_of(outcomes: Sequence[KillOutcome]) -> str:
    """The outcomes as a page: a row for each kind of process, then every run that did not finish."""
    heads = ("killed", "kills", "went on or finished", "stopped with a reason", "neither", "ledgers verified")
    rows = [f"| {' | '.join(heads)} | seconds to the next sum: median, longest |", "|---|---|---|---|---|---|---|"]
    for target in TARGETS:
        mine = [one for one in outcomes if one.target == target and one.at is not None]
        if not mine:
            continue
        done = sum(one.phase in (WENT_ON, "finished") for one in mine)
        stopped = sum(one.phase == "stopped" and bool(one.said) for one in mine)
        waits = sorted(one.seconds for one in mine)
        good = sum(one.verified for one in mine)
        rest = len(mine) - done - stopped
        seconds = f"{waits[len(mine) // 2]:.0f}, {waits[-1]:.0f}"
        rows.append(f"| {target} | {len(mine)} | {done} | {stopped} | {rest} | {good} | {seconds} |")
    rows += ["", *(f"- {one.target} after {one.at:.1f} s: {one.said}" for one in outcomes if _odd(one))]
    return "\n".join(rows) + "\n"


def _odd(one: KillOutcome) -> bool:
    return one.at is not None and one.phase not in (WENT_ON, "finished")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all of it; leaves with 1 where a run neither went on nor said why, or a ledger does not hold."""
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
    with deployment.up(SETTINGS, users=USERS, patience=120.0):
        counter = 1
        deployment.begun(counter)
        usual = _seconds_a_sum(deployment, counter)
        head = f"Undisturbed, a sum took {usual:.0f} s. Kills came at random instants of two sums' time."
        while waiting:
            if deployment.run()["phase"] in OVER:
                say(f"run {counter}: {deployment.run()['said']}")
                deployment.call("server", "enrol", "site", "--again")
                counter += 1
                deployment.begun(counter)
            at = drawn.uniform(0.0, 2 * usual)
            outcomes.append(kill_under_way(deployment, waiting[0], counter, at, patience=_PATIENCE))
            if outcomes[-1].at is not None:  # else the run was over before
                waiting.pop(0)
            say(json.dumps(asdict(outcomes[-1])))
            given.out.write_text(f"{head}\n\n{table_of(outcomes)}", encoding="utf-8")
    return 0 if all(one.verified and one.phase in (WENT_ON, *OVER) for one in outcomes) else 1


def _seconds_a_sum(deployment: FaultyDeployment, counter: int, sums: int = 2) -> float:
    """After the first one, with nothing killed."""
    end, begun = time.monotonic() + _PATIENCE, 0.0
    while deployment.sums(counter) < 1 + sums and time.monotonic() < end:
        if not begun and deployment.sums(counter):
            begun = time.monotonic()
        time.sleep(0.1)
    if deployment.sums(counter) < 1 + sums:
        raise ProtocolError("no sums were opened, though nothing was killed", value=deployment.run()["said"])
    return (time.monotonic() - begun) / sums


if __name__ == "__main__":
    sys.exit(main())
