"""How many histories a second `fedrec serve` ranks for on this machine, and how long a request waits.

The server runs as it is run: its own command, a worker a core, on loopback.  The requests come from this process over
connections that stay open; what asking costs is on the same cores and counts against the server.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from fedrec.errors import ProtocolError
from fedrec.simulation.bench.device import DeviceSizes, made_release
from fedrec.simulation.bench.measuring import Machine

_START_SECONDS: Final = 60.0
_DIFFERENT: Final = 256


@dataclass(frozen=True)
class Load:
    """``items`` of the catalogue, ``events`` of a history, ``connections`` asking at once, ``workers`` answering."""

    items: int
    events: int
    connections: int
    workers: int


def run_serve(load: Load, seconds: float) -> dict[str, Any]:
    """Ask for so many seconds, after a first second that is not measured.

    Returns:
        ``requests_per_second``; ``milliseconds``: median and 99th percentile of a request's time; machine and load.

    Raises:
        ProtocolError: the server does not start, or answers with an error.
    """
    with TemporaryDirectory() as name:
        release = made_release(Path(name) / "release", DeviceSizes(load.items, 64, 0))
        port = _free_port()
        words = [sys.executable, "-m", "fedrec.cli.main", "serve", str(release), "--port", str(port)]
        server = subprocess.Popen(
            [*words, "--workers", str(load.workers)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for(port, server)
            _asked(port, load, 1.0)
            waits, took = _asked(port, load, seconds)
        finally:
            server.terminate()
            server.wait(timeout=30)
    return {
        "machine": Machine.here().facts(),
        "load": asdict(load),
        "requests_per_second": len(waits) / took,
        "milliseconds": {"median": 1e3 * median(waits), "p99": 1e3 * quantiles(waits, n=100)[98]},
    }


def _asked(port: int, load: Load, seconds: float) -> tuple[list[float], float]:
    """Seconds that each request took, and seconds in all."""
    rng = np.random.default_rng(0)
    bodies = [
        json.dumps({"history": [f"item-{place:07d}" for place in rng.integers(0, load.items, load.events)]}).encode()
        for _ in range(_DIFFERENT)
    ]
    began = time.perf_counter()
    with ThreadPoolExecutor(load.connections) as pool:
        asked = pool.map(lambda first: _one_connection(port, bodies, first, began + seconds), range(load.connections))
        waits = [wait for one in asked for wait in one]
    return waits, time.perf_counter() - began


def _one_connection(port: int, bodies: Sequence[bytes], first: int, until: float) -> list[float]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    waits: list[float] = []
    number = first
    while time.perf_counter() < until or not waits:
        started = time.perf_counter()
        connection.request("POST", "/recommend", bodies[number % len(bodies)], {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise ProtocolError("the server answered with an error", value=answer.status)
        waits.append(time.perf_counter() - started)
        number += 1
    connection.close()
    return waits


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.1)
    raise ProtocolError("the server did not start", value=port, action="Run `fedrec serve` by hand to see why")
