"""Many SuperNodes on one SuperLink, on one machine: is a message lost, does memory grow, where do a round's seconds go?

    python -m simulations.benchmarks.deployment_load DIR --devices 10 --devices 30 --rounds 5 --out FILE.md

For each number it makes a server and so many devices in DIR with the commands of docs/deployment.md, and lets a run of
secagg+ pass in which every sum needs every device: popularity, and power iteration, for which a device loads no torch.
After each sum it reads /proc: processor seconds and memory of each kind of process, and once more a while after the
run, when all that devices do is to ask whether there is a message.  A device is three processes: one that keeps it up,
one that answers, and Flower's SuperNode.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from fedrec.console import say
from fedrec.cores import Cores
from fedrec.detached import ProcessMark
from fedrec.errors import ProtocolError
from fedrec.server.operation.status import events_of
from simulations.benchmarks.deployment_faults import child_of
from simulations.benchmarks.loopback_deployment import OVER, LoopbackDeployment

KINDS: Final = ("superlink", "server", "serverapp", "supernodes", "answering", "keeping up")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SECONDS: Final = 3600.0
# Of a shop.
_FEWEST: Final = 20
# The sums before and after the rounds in which directions are turned.
_OTHER_SUMS: Final = 2
# After a run, until SuperNodes ask as seldom as they do; and how long they are looked at.
_SETTLING, _IDLE_SECONDS = 30.0, 60.0
_SETTINGS: Final = """
[run]
name = "load"
[content.text]
dimension = 16
vocabulary = 512
[content.image]
dimension = 8
[model]
dimension = 8
tower = false
[collaborative.cooccurrence]
enabled = false
[collaborative.power_iteration]
enabled = true
steps = {steps}
rank = 8
[collaborative.prior]
weight = 1.0
modalities = {{text = 1.0, image = 1.0}}
[privacy]
epsilon = 8.0
delta = 0.01
[secure_aggregation]
protocol = "secagg+"
minimum_cohort = {devices}
minimum_survivors = {devices}
[speed]
threads = 1
"""


@dataclass(frozen=True)
class Usage:
    """Of one kind of process: how many there are, processor seconds so far, and memory in MB (resident, added up)."""

    processes: int
    seconds: float
    memory: float


@dataclass(frozen=True)
class Load:
    """One run. ``rounds``: seconds of each.  ``lost``: devices that were missing in a sum, and attempts that gave none,
    all rounds together.  ``usages``: after each sum, by kind.  ``at``: when that was.  ``memory``: MB of all processes
    at the end, shared pages once.  ``busy``: mean number of processes that wanted a core, whosever.  ``idle``: of each
    kind, processor seconds a second while nothing is asked."""

    devices: int
    phase: str
    rounds: tuple[float, ...]
    lost: int
    usages: tuple[Mapping[str, Usage], ...]
    at: tuple[float, ...]
    memory: float
    busy: float
    idle: Mapping[str, float]


def processes_of(deployment: LoopbackDeployment) -> Iterator[tuple[str, ProcessMark]]:
    """All processes of a deployment, each with its kind."""
    for kind in ("superlink", "server", "serverapp"):
        mark = deployment.server_process(kind)
        if mark is not None:
            yield kind, mark
    for name in deployment.devices:
        keeps, answers = deployment.device_process(name, "process"), deployment.device_process(name)
        node = None if answers is None else child_of(answers)
        found = (("keeping up", keeps), ("answering", answers), ("supernodes", node))
        yield from ((kind, mark) for kind, mark in found if mark is not None)


def usage_of(processes: Sequence[tuple[str, ProcessMark]]) -> dict[str, Usage]:
    """What each kind of process has used."""
    found = {kind: Usage(0, 0.0, 0.0) for kind in KINDS}
    for kind, mark in processes:
        try:
            fields = Path(f"/proc/{mark.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        seconds = (int(fields[11]) + int(fields[12])) / _TICKS
        megabytes = int(fields[21]) * resource.getpagesize() / 2**20
        before = found[kind]
        found[kind] = Usage(before.processes + 1, before.seconds + seconds, before.memory + megabytes)
    return found


def memory_of(processes: Sequence[tuple[str, ProcessMark]]) -> float:
    """MB of all of them, shared pages once."""
    total = 0
    for _, mark in processes:
        try:
            lines = Path(f"/proc/{mark.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def measure(directory: Path, devices: int, rounds: int) -> Load:
    """One run of so many rounds with so many devices. Raises ProtocolError where it does not come to its end."""
    deployment = LoopbackDeployment(directory, devices)
    settings = _SETTINGS.format(steps=rounds - _OTHER_SUMS, devices=devices)
    with deployment.up(settings, users=max(_FEWEST, devices), patience=600.0):
        deployment.begun(1, 900.0)
        end = time.monotonic() + _SECONDS
        usages, at, wanting = list[Mapping[str, Usage]](), list[float](), list[float]()
        memory = 0.0
        while (phase := deployment.run()["phase"]) not in OVER and time.monotonic() < end:
            wanting.append(os.getloadavg()[0])
            if deployment.sums(1) > len(usages):
                processes = list(processes_of(deployment))
                found = usage_of(processes)
                # The run's own process may be over right after the last sum: then what it had used before stands.
                usages.append({k: one if one.processes or not usages else usages[-1][k] for k, one in found.items()})
                at.append(time.monotonic())
                memory = memory_of(processes)
            time.sleep(0.25)
        if phase != "finished":
            raise ProtocolError("the run did not finish", value=deployment.run()["said"])
        sums = [one for one in events_of(deployment.server.run(1)) if one.get("devices")]
        lost = sum(one["asked"] - one["devices"] + sum(one["aborted"].values()) for one in sums)
        seconds = tuple(one["seconds"] for one in sums)
        busy = sum(wanting) / len(wanting)
        return Load(devices, phase, seconds, lost, tuple(usages), tuple(at), memory, busy, idle_of(deployment))


def idle_of(
    deployment: LoopbackDeployment, settling: float = _SETTLING, seconds: float = _IDLE_SECONDS
) -> dict[str, float]:
    """Processor seconds a second of each kind of process while nothing is asked."""
    time.sleep(settling)
    before, begun = usage_of(list(processes_of(deployment))), time.monotonic()
    time.sleep(seconds)
    after, wall = usage_of(list(processes_of(deployment))), time.monotonic() - begun
    return {kind: (after[kind].seconds - before[kind].seconds) / wall for kind in KINDS}


def table_of(loads: Sequence[Load]) -> str:
    """All runs as a page of three tables."""
    cores = Cores.here().usable
    rows = ["| devices | seconds a round, median | each | missing in a sum, or attempts without one | load |"]
    rows.append("|---:|---:|---|---:|---:|")
    for one in loads:
        each = ", ".join(f"{seconds:.1f}" for seconds in one.rounds)
        rows.append(f"| {one.devices} | {median(one.rounds):.1f} | {each} | {one.lost} | {one.busy:.1f} |")
    rows += ["", f"Processor seconds a round, from the first sum to the last, and their share of {cores} cores:", ""]
    rows += [f"| devices | {' | '.join(KINDS)} | share |", f"|---:|{'---:|' * len(KINDS)}---:|"]
    for one in loads:
        spent = [_seconds_a_round(one, kind) for kind in KINDS]
        wall = (one.at[-1] - one.at[0]) / (len(one.at) - 1)
        cells = " | ".join(f"{seconds:.2f}" for seconds in spent)
        rows.append(f"| {one.devices} | {cells} | {sum(spent) / wall / cores:.0%} |")
    rows += [
        "",
        "Memory, MB: after the first sum and after the last; of a device's processes each, and of all together:",
    ]
    rows += ["", f"| devices | {' | '.join(KINDS)} | all, shared pages once |", f"|---:|{'---:|' * len(KINDS)}---:|"]
    for one in loads:
        cells = " | ".join(f"{_memory(one.usages[0][kind])} to {_memory(one.usages[-1][kind])}" for kind in KINDS)
        rows.append(f"| {one.devices} | {cells} | {one.memory:,.0f} |")
    rows += ["", "While nothing is asked, processor seconds a second:", ""]
    rows += [f"| devices | {' | '.join(KINDS)} |", f"|---:|{'---:|' * len(KINDS)}"]
    rows += [f"| {one.devices} | {' | '.join(f'{one.idle[kind]:.3f}' for kind in KINDS)} |" for one in loads]
    return "\n".join(rows) + "\n"


def _seconds_a_round(load: Load, kind: str) -> float:
    return (load.usages[-1][kind].seconds - load.usages[0][kind].seconds) / (len(load.usages) - 1)


def _memory(usage: Usage) -> str:
    return f"{usage.memory / max(1, usage.processes):.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all of it; leaves with 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--devices", type=int, action="append", required=True, help="may be given again")
    parser.add_argument("--rounds", type=int, default=5, help="3 at least")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    loads = list[Load]()
    for devices in given.devices:
        loads.append(measure(given.directory / str(devices), devices, given.rounds))
        say(f"{devices} devices: {loads[-1].rounds}, {loads[-1].lost} lost, {loads[-1].memory:,.0f} MB")
        given.out.write_text(table_of(loads), encoding="utf-8")
    return 1 if any(one.lost for one in loads) else 0


if __name__ == "__main__":
    sys.exit(main())
