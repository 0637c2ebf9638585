"""Many SuperNodes on one SuperLink of this machine: rounds of secure aggregation over TLS, what they take and of whom.

``python -m simulations.benchmarks.load DIRECTORY --devices 30 --rounds 5 --write simulations/benchmarks/load.md``.
Devices are processes as in production (`server.deploy.network`), two each; a device takes about 0.3 GB.  Not in CI.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedrec.simulation.bench.measuring import Machine
from server.deploy.attacks import APP
from server.deploy.deployment import SETTINGS, make_deployment
from server.deploy.network import Network, network

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PROCESSES: Final = Path("/proc")
_SAMPLE_SECONDS: Final = 5.0
_EXCHANGES: Final = 6


@dataclass
class Watched:
    """Processor seconds and megabytes of the server's and the devices' processes, sampled while it is open."""

    opened: Network
    samples: list[dict[str, dict[str, float]]] = field(default_factory=list)

    def now(self) -> dict[str, dict[str, float]]:
        """``server``, ``devices``: ``cpu`` in seconds, ``mb`` resident; of a process and all that it started."""
        parents = {number: parent for number, parent, *_ in _all_processes()}
        facts = {number: (cpu, memory) for number, _, cpu, memory in _all_processes()}
        found = {"at": {"seconds": time.monotonic()}}
        server, *devices = self.opened.started
        for name, roots in (("server", {server.pid}), ("devices", {one.pid for one in devices})):
            own = [number for number in facts if _is_under(number, roots, parents)]
            found[name] = {
                "cpu": sum(facts[number][0] for number in own),
                "mb": sum(facts[number][1] for number in own),
                "processes": len(own),
            }
        return found


def _all_processes() -> Iterator[tuple[int, int, float, float]]:
    """Id, parent, processor seconds (of children that ended, too) and resident megabytes of each."""
    for directory in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            words = (directory / "stat").read_text().rpartition(")")[2].split()
            cpu = sum(int(words[at]) for at in (11, 12, 13, 14)) / _TICKS
            yield int(directory.name), int(words[1]), cpu, int(words[21]) * _PAGE / 1e6


def _is_under(number: int, roots: set[int], parents: Mapping[int, int]) -> bool:
    while number not in roots and number in parents:
        number = parents[number]
    return number in roots


@contextmanager
def watching(opened: Network) -> Iterator[Watched]:
    """Sample every few seconds while the context lasts."""
    watched, ended = Watched(opened), threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            watched.samples.append(watched.now())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


def wait_for_nodes(opened: Network, count: int, seconds: float) -> float:
    """How long it took until so many SuperNodes were online. Raises TimeoutError."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if opened.flwr("supernode", "list", "fedrec", seconds=60).count("online") >= count:
            return time.monotonic() - began
        time.sleep(3)
    raise TimeoutError(f"fewer than {count} SuperNodes after {seconds:g} s")


def measure(out: Path, devices: int, rounds: int, idle: float) -> dict[str, Any]:
    """Set up, run, and say what it took, JSON-able."""
    out.mkdir(parents=True)
    settings = SETTINGS.replace("rounds = 1", f"rounds = {rounds}")
    for name in ("minimum_cohort", "minimum_survivors"):
        settings = settings.replace(f"{name} = 3", f"{name} = {devices - devices // 10}")
    deployment = make_deployment(out, devices=devices, users=2 * devices, settings=settings)
    began = time.monotonic()
    with (
        network(out / "network", [deployment.device(store) for store in deployment.stores]) as opened,
        watching(opened) as watched,
    ):
        wait_for_nodes(opened, devices, 900)
        up = time.monotonic() - began
        quiet = watched.now()
        time.sleep(idle)
        before = watched.now()
        config: dict[str, str | int | float] = {**deployment.files(), "out": str(out / "server")}
        log = opened.run(APP, {**config, "devices": devices, "patience": 600}, seconds=1800)
        after = watched.now()
    record = json.loads((out / "server" / "server.json").read_text(encoding="utf-8"))
    (out / "run.log").write_text(log, encoding="utf-8")
    lines = record["rounds"]
    messages = 2 * _EXCHANGES * devices * len(lines)
    polls = devices * idle / 3.0
    run_cpu = {name: after[name]["cpu"] - before[name]["cpu"] for name in ("server", "devices")}
    idle_cpu = {name: (before[name]["cpu"] - quiet[name]["cpu"]) / idle for name in ("server", "devices")}
    took = after["at"]["seconds"] - before["at"]["seconds"]
    run_samples = [one for one in watched.samples if one["at"]["seconds"] >= before["at"]["seconds"]]
    return {
        "devices": devices,
        "rounds": len(lines),
        "left_out": [line["left_out"] for line in lines],
        "in_sum": [line["devices"] for line in lines],
        "seconds_until_up": up,
        "seconds_a_round": [line["seconds"] for line in lines],
        "seconds_of_run": took,
        "bytes_up_per_device": lines[-1]["bytes_up_per_device"],
        "cpu_of_run": run_cpu,
        "cpu_idle_a_second": idle_cpu,
        "server_cpu_ms_a_message": 1000 * max(0.0, run_cpu["server"] - idle_cpu["server"] * took) / messages,
        "server_cpu_ms_a_poll": 1000 * idle_cpu["server"] * idle / polls,
        "memory_mb": {name: [round(one[name]["mb"]) for one in run_samples] for name in ("server", "devices")},
        "epsilon_server": record["privacy"]["epsilon_server"],
        "machine": Machine.here().facts(),
    }


def table(found: Mapping[str, Any]) -> str:
    """The figures as a page."""
    memory, seconds = found["memory_mb"], found["seconds_a_round"]
    lost = sum(sum(one.values()) for one in found["left_out"])
    rows = [
        ("devices, two processes each", found["devices"]),
        ("rounds of `secagg+`, with noise of devices", found["rounds"]),
        ("devices in each sum", ", ".join(map(str, found["in_sum"]))),
        ("answers lost", lost),
        ("seconds a round", f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"),
        ("seconds until all devices were there", f"{found['seconds_until_up']:.0f}"),
        ("kB up a device and round", f"{found['bytes_up_per_device'] / 1000:.1f}"),
        ("processor seconds of the run, server", f"{found['cpu_of_run']['server']:.1f}"),
        ("processor seconds of the run, all devices", f"{found['cpu_of_run']['devices']:.1f}"),
        ("server's processor ms a message", f"{found['server_cpu_ms_a_message']:.1f}"),
        ("server's processor ms for a SuperNode's look for messages", f"{found['server_cpu_ms_a_poll']:.1f}"),
        ("MB of the server, first, largest, last of the run", _span(memory["server"])),
        ("MB of all devices, the same", _span(memory["devices"])),
    ]
    lines = [
        f"# {found['devices']} SuperNodes on one SuperLink",
        "",
        f"`python -m simulations.benchmarks.load DIRECTORY --devices {found['devices']} --rounds {found['rounds']}`:",
        "TLS, keys of nodes, devices that run installed code, all on one machine of 2 cores, with other work on it:",
        "processor times and memory are the run's own, seconds are upper bounds.",
        "",
        "| what | figure |",
        "|---|---:|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
    ]
    return "\n".join(lines)


def _span(values: list[int]) -> str:
    return f"{values[0]:,}, {max(values):,}, {values[-1]:,}" if values else "not sampled"


def main() -> None:
    """Parse the command line, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--devices", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds in which nobody asks anything")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    found = measure(given.directory.absolute(), given.devices, given.rounds, given.idle)
    print(json.dumps(found, indent=1))
    if given.write:
        given.write.write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    main()
