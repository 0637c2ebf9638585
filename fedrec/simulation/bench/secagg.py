"""A round of secure aggregation in one process: the real device and server, every message as bytes, no network.

What a device does is timed over all six exchanges, for each device that stays to the end; what the server does, from
its last message to the opened sum.  Devices drop out after they have shared their secrets, which is what costs most.
"""

from __future__ import annotations

import copy
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ConfigError
from fedrec.secagg.context import Agreed
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.masks import most_workers
from fedrec.secagg.parameters import Assumptions, GraphParameters, choose
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.ring import Ring
from fedrec.secagg.roster import Roster
from fedrec.secagg.server import ServerRound
from fedrec.secagg.thresholds import Thresholds
from fedrec.simulation.bench.secagg_limits import mask_figures
from fedrec.thread_settings import threads_here

RING_BITS = 20
_NOW = 1_800_000_000
_MOST_ROUNDS = 10


@dataclass
class TimedDevice:
    """One device: its round, and what it has taken so far in seconds and bytes."""

    round: DeviceRound
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0

    def answer(self, work: Callable[..., bytes], shown: bytes = b"", *more: Any) -> bytes:
        """One exchange."""
        # The whole process's time: a device's threads count, and nothing else runs meanwhile.
        cpu, wall = time.process_time(), time.perf_counter()
        message = work(shown, *more) if shown else work()
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu
        self.bytes_down += len(shown)
        self.bytes_up += len(message)
        return message


@dataclass
class SecAggBench:
    """A cohort and a server that are about to make a sum.

    ``dropped``: ids of devices that are gone after sharing.  ``receiving``: what the server spends on messages as
    they come, in seconds; ``closing``: on closing the first five exchanges; ``cpu``: all the server's work, opening
    once included, in seconds of the process's own time; ``opening_cpu``: that of opening.
    """

    agreed: Agreed
    server: ServerRound
    devices: dict[bytes, TimedDevice]
    dropped: frozenset[bytes]
    expected: NDArray[np.uint64] = field(init=False)
    receiving: float = 0.0
    closing: float = 0.0
    cpu: float = 0.0
    opening_cpu: float = 0.0

    def vector(self, device: bytes) -> NDArray[np.float64]:
        """A device's contribution: the same whenever it is asked for, so that none need be kept."""
        draw = np.random.default_rng(int.from_bytes(device[:8], "big"))
        return draw.uniform(-self.agreed.bound, self.agreed.bound, self.agreed.length)

    def run(self, repeats: int = 3) -> tuple[list[float], bool]:
        """The six exchanges. Returns how long opening took, several times over, and whether the sum was exact."""
        for one in self.devices.values():
            self._take(one.answer(one.round.advertise))
        for device, cohort in self._close(self.server.close_advertise).items():
            one = self.devices[device]
            self._take(one.answer(one.round.share, cohort))
        self.expected = np.zeros(self.agreed.length, dtype=np.uint64)
        for device, inbox in self._close(self.server.close_share).items():
            one = self.devices[device]
            self._take(one.answer(one.round.check, inbox))
        for device, view in self._close(self.server.close_check).items():
            if device not in self.dropped:
                self._mask(device, view)
        for device, survivors in self._close(self.server.close_masked).items():
            one = self.devices[device]
            self._take(one.answer(one.round.confirm, survivors))
        for device, certificate in self._close(self.server.close_confirm).items():
            one = self.devices[device]
            self._take(one.answer(one.round.unmask, certificate))
        seconds, cpu, exact = [], [], True
        for _ in range(repeats):
            server = copy.deepcopy(self.server)
            cpu_began, began = time.process_time(), time.perf_counter()
            opened = server.close_unmask()
            seconds.append(time.perf_counter() - began)
            cpu.append(time.process_time() - cpu_began)
            exact &= np.array_equal(opened.total, self.expected) and len(opened.survivors) == self.stayed
        self.opening_cpu = statistics.median(cpu)
        self.cpu += self.opening_cpu
        return seconds, exact

    @property
    def stayed(self) -> int:
        """Devices that stay to the end."""
        return len(self.devices) - len(self.dropped)

    def _mask(self, device: bytes, view: bytes) -> None:
        one, vector, ring = self.devices[device], self.vector(device), self.agreed.ring
        elements: list[NDArray[np.uint64]] = []

        def work(shown: bytes) -> bytes:
            elements.append(ring.encode(vector, self.agreed.resolution, limit=self.agreed.bound))
            return one.round.mask(shown, elements[0])

        self._take(one.answer(work, view))
        ring.add(self.expected, elements[0], out=self.expected)

    def _take(self, message: bytes) -> None:
        cpu, began = time.process_time(), time.perf_counter()
        refused = self.server.receive(message)
        self.receiving += time.perf_counter() - began
        self.cpu += time.process_time() - cpu
        if refused is not None:
            raise RuntimeError(f"the server refused a message: {refused.reason}")

    def _close(self, close: Callable[[], dict[bytes, bytes]]) -> dict[bytes, bytes]:
        cpu, began = time.process_time(), time.perf_counter()
        out = close()
        self.closing += time.perf_counter() - began
        self.cpu += time.process_time() - cpu
        return out


def prepare(devices: int, length: int, dropout: float, parameters: GraphParameters, *, workers: int) -> SecAggBench:
    """A cohort of fresh devices in a fresh roster; a share ``dropout`` of them will be gone after sharing secrets."""
    identities = [DeviceIdentity.fresh() for _ in range(devices)]
    roster = Roster.of(identity.public for identity in identities)
    resolution = finest(devices)
    agreed = Agreed.of(
        run="benchmark",
        round=1,
        request=bytes(32),
        roster=roster.digest,
        length=length,
        bound=1.0,
        resolution=resolution,
        rows=devices,
        seed=bytes(range(32)),
        eligible=tuple(range(devices)),
    )
    gone = np.random.default_rng(devices).permutation(devices)[: round(dropout * devices)]
    thresholds = thresholds_for(devices, dropout, parameters)
    server = ServerRound(agreed, roster, thresholds, workers=workers)
    rounds = {
        identity.public: TimedDevice(DeviceRound(identity, roster, agreed, thresholds, ReplayGuard(), now=_NOW))
        for identity in identities
    }
    return SecAggBench(agreed, server, rounds, frozenset(identities[at].public for at in gone.tolist()))


def finished(
    devices: int, length: int, dropout: float, parameters: GraphParameters, workers: int
) -> tuple[SecAggBench, list[float], bool, int]:
    """A round that came to its end, and how many failed before it.

    With few neighbours and many dropouts it happens that a device is left with too few neighbours.
    """
    for aborted in range(_MOST_ROUNDS):
        bench = prepare(devices, length, dropout, parameters, workers=workers)
        try:
            return bench, *bench.run(), aborted
        except RoundAbortedError as error:
            if error.reason is not Reason.SECRET_LOST:
                raise
    raise ConfigError(
        "rounds fail again and again with so few neighbours",
        value=(parameters.degree, parameters.threshold),
        action="Ask for more neighbours, a lower threshold or fewer dropouts",
    )


def assumptions_for(dropout: float) -> Assumptions:
    """The default ones, or as many missing devices as are really missing."""
    return Assumptions(dropout=max(dropout, Assumptions().dropout))


class AnyGraph(Thresholds):
    """Accepts any neighbours and threshold, and lists with gaps: for comparisons with what others take."""

    def check_graph(self, size: int, graph: GraphParameters) -> None:
        """Accept it."""

    def least_in_half(self, size: int) -> int:
        """Nobody."""
        return 0


def thresholds_for(devices: int, dropout: float, parameters: GraphParameters) -> Thresholds:
    """Thresholds of devices that accept these parameters: where a comparison asks for weaker ones, lenient devices."""
    assumptions = assumptions_for(dropout)
    least = min(15, assumptions.floor(devices))
    found = Thresholds(min(20, devices), least, assumptions=assumptions, graph=parameters)
    try:
        found.check_safe(devices)
    except RefusedError:
        lenient = replace(assumptions, corrupt=0.0, colluding=0.0)
        return AnyGraph(found.cohort, least, assumptions=lenient, graph=parameters)
    return found


def finest(devices: int) -> float:
    """The finest resolution for which a sum of so many vectors within 1 fits `RING_BITS` bits."""
    resolution = 2.0**-RING_BITS
    while Ring.for_sum(1.0, resolution, devices).bits > RING_BITS:
        resolution *= 2
    return resolution


def run_secagg(
    devices: int,
    length: int,
    dropout: float,
    *,
    neighbours: int | None = None,
    threshold: int | None = None,
    workers: int | None = None,
    limits: bool = True,
) -> dict[str, Any]:
    """Measure one round, and the price of a mask beside its limits.

    ``neighbours`` and ``threshold``: by default what `parameters.choose` gives to a cohort of this size.

    Returns:
        A table for JSON; ``device_ms`` is the median over all devices that stayed, in milliseconds.
    """
    load = os.getloadavg()[0]
    workers = workers or threads_here()
    parameters = choose(devices, assumptions_for(dropout))
    if neighbours is not None:
        parameters = GraphParameters(neighbours, threshold or neighbours // 2 + 2)
    thresholds = thresholds_for(devices, dropout, parameters)
    bench, opening, exact, aborted = finished(devices, length, dropout, parameters, workers)
    stayed = [one for device, one in bench.devices.items() if device not in bench.dropped]
    found = {
        "devices": devices,
        "length": length,
        "dropped": len(bench.dropped),
        "neighbours": parameters.degree,
        "threshold": parameters.threshold,
        "committee": thresholds.committee(devices).members,
        "quorum": thresholds.committee(devices).quorum,
        "least_sum": thresholds.least_sum(devices),
        "bits": bench.agreed.bits,
        "device_ms": 1e3 * statistics.median(one.seconds for one in stayed),
        "device_cpu_ms": 1e3 * statistics.median(one.cpu_seconds for one in stayed),
        "server_s": statistics.median(opening),
        "server_receiving_s": bench.receiving,
        "server_closing_s": bench.closing,
        "server_open_cpu_s": bench.opening_cpu,
        "server_cpu_s": bench.cpu,
        "exact": exact,
        "rounds_given_up": aborted,
        "bytes_up": int(statistics.median(one.bytes_up for one in stayed)),
        "bytes_down": int(statistics.median(one.bytes_down for one in stayed)),
        "bytes_per_element": bench.agreed.bits / 8,
        "workers": workers,
        "device_workers": most_workers(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": load,
    }
    if limits:
        found |= mask_figures(length, min(parameters.degree + 1, 53), bench.agreed.ring, workers)
    return found
