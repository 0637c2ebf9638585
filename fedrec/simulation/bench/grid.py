"""Engine ``grid``: whole training rounds of secure aggregation, devices with stores and all six exchanges in them.

What is timed is `SecureDevices.aggregate` as a run calls it: messages of Flower, each device's checks, its store, its
training, its masks, and the server's opening of the sum.  The bound is the cryptography that the protocol asks of each
device, at the speed of this machine in the same run, if all processes did nothing else.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from fedrec.config import Config, from_tree
from fedrec.console import open_reporter
from fedrec.content.feature_table import Features
from fedrec.data.schema import UNSPLIT, Dataset, Interactions, ItemRecord
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.schedule import make_request
from fedrec.queries.secure_wire import Exchange, thresholds_of
from fedrec.secagg import identity, keys, masks
from fedrec.secagg.ring import Ring
from fedrec.simulation.bench.measuring import Machine, Timing, seconds_of
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.engines.grid_devices import SecureGridDevices, grid_devices, workers_of
from fedrec.simulation.study import Study, assemble

ITEMS, EVENTS = 200, 20
_OPENING: Final = "opening"


def run_grid(devices: Sequence[int], length: int, *, rounds: int = 3, workers: int = 0) -> dict[str, Any]:
    """Measure rounds of each number of devices, one number after the other.

    Args:
        devices: how many, each at least the 20 that a device insists on.
        length: about how many parameters the model has; how many exactly is told.
        rounds: measured, after one that is not.
        workers: processes in which devices answer, as ``speed.workers``.

    Returns:
        ``sizes``: of each number of devices the seconds of a round, what they are made of, and the processor time of
        all processes, which other work on the machine changes little.  ``linearity``, ``cpu_linearity``: milliseconds a
        device among the most devices over those among the fewest; 1 is linear.
    """
    features = features_of(length)
    found = {count: _measured(count, features, rounds, workers) for count in devices}
    return {
        "sizes": {str(count): one for count, one in found.items()},
        "linearity": found[max(found)]["ms_a_device"] / found[min(found)]["ms_a_device"],
        "cpu_linearity": found[max(found)]["cpu_ms_a_device"] / found[min(found)]["cpu_ms_a_device"],
        "machine": Machine.here().facts(),
    }


def config_of(rounds: int, workers: int) -> Config:
    """The default tower without noise, by secure aggregation, in as many training rounds as are asked."""
    return from_tree(
        {
            "run": {"name": "bench", "engine": "grid"},
            "training": {"rounds": rounds},
            "secure_aggregation": {"protocol": "secagg+"},
            "speed": {"threads": 1, "workers": workers},
        }
    )


def features_of(length: int) -> Features:
    """Random features of one modality, so wide that the default tower over them has about ``length`` parameters."""
    config = config_of(1, 1)
    narrow, wide = (parameters.count(build_model(config, _features(width))) for width in (8, 16))
    return _features(max(2, 8 + round((length - narrow) * 8 / (wide - narrow))))


def _features(width: int) -> Features:
    values = np.random.default_rng(0).standard_normal((ITEMS, width)).astype(np.float32) / np.float32(width) ** 0.5
    ids = tuple(f"item {place}" for place in range(ITEMS))
    return Features(ids, ids, {"text": values}, {"text": np.ones(ITEMS, dtype=np.bool_)})


def study_of(users: int, features: Features) -> Study:
    """Users with random events about the items of some features."""
    rng = np.random.default_rng(users)
    count = users * EVENTS
    interactions = Interactions(
        np.repeat(np.arange(users, dtype=np.int32), EVENTS),
        np.concatenate([rng.permutation(ITEMS)[:EVENTS] for _ in range(users)]).astype(np.int32),
        np.full(count, np.nan, dtype=np.float32),
        np.tile(np.arange(EVENTS, dtype=np.int64), users),
        np.full(count, UNSPLIT, dtype=np.int8),
    )
    names = tuple(f"user {place}" for place in range(users))
    dataset = Dataset("bench", None, names, tuple(ItemRecord(name, name) for name in features.ids), interactions)
    return assemble(config_of(1, 1), dataset, features, {})


class Watch:
    """When the last reply of each exchange came: what a round's seconds are made of, exchange by exchange."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.messages = 0

    def __call__(self, message: Message, reply: Message) -> None:
        """See a request with its reply."""
        self.messages += 1
        self.last[message.metadata.message_type.removeprefix("query.")] = time.perf_counter()

    def parts(self, began: float, ended: float) -> dict[str, float]:
        """Seconds of each exchange, the server's closing of the one before it included, and of opening the sum."""
        found, before = {}, began
        for exchange in Exchange:
            at = self.last.get(exchange.value, before)
            found[exchange.value.removeprefix("secagg_")] = at - before
            before = at
        return {**found, _OPENING: ended - before}


def _measured(count: int, features: Features, rounds: int, workers: int) -> dict[str, Any]:
    study, config = study_of(count, features), config_of(rounds + 1, workers)
    watch = Watch()
    with _devices(config, study, watch) as devices:
        values = parameters.flatten(build_model(config, features))
        assert isinstance(devices.grid, InProcessGrid)
        seconds, cpu, parts, opened = [], [], [], None
        for number in range(1, rounds + 2):
            request = request_of(config, number, values, count, features)
            used, began = devices.grid.cpu_seconds(), time.perf_counter()
            opened = devices.aggregate(request, range(count))
            ended = time.perf_counter()
            seconds.append(ended - began)
            cpu.append(devices.grid.cpu_seconds() - used)
            parts.append(watch.parts(began, ended))
            if opened.devices != count:
                raise RuntimeError(f"{opened.devices} of {count} devices are in the sum: {dict(devices.tally)}")
        assert opened is not None
        timing, bits = Timing(tuple(seconds[1:])), request.sum.ring.bits
        graph = thresholds_of(config.secure_aggregation, count).parameters(count)
    processes = workers_of(config, count)
    bound = count * crypto_seconds(graph.degree, len(values), bits) / min(processes, os.cpu_count() or 1)
    return {
        "devices": count,
        "parameters": len(values),
        "neighbours": graph.degree,
        "processes": processes,
        "seconds": timing.facts(),
        "ms_a_device": 1000 * timing.median / count,
        "cpu_ms_a_device": 1000 * float(np.median(cpu[1:])) / count,
        "messages_a_second": watch.messages / sum(seconds),
        "bytes_up_a_device": opened.bytes_up / count,
        "parts": {name: float(np.median([one[name] for one in parts[1:]])) for name in parts[0]},
        "bound_seconds": bound,
        "times_the_bound": timing.median / bound,
        "peak_megabytes": _peak_megabytes(processes),
    }


def _peak_megabytes(processes: int) -> dict[str, float]:
    """The most memory that this process had, and the largest of the others that have ended; so far, of all sizes."""
    kinds = {"here": resource.RUSAGE_SELF} | ({"largest_worker": resource.RUSAGE_CHILDREN} if processes > 1 else {})
    return {name: resource.getrusage(kind).ru_maxrss / 1024 for name, kind in kinds.items()}


@contextmanager
def _devices(config: Config, study: Study, watch: Watch) -> Iterator[SecureGridDevices]:
    with (
        tempfile.TemporaryDirectory() as directory,
        open_reporter(silent=True) as reporter,
        grid_devices(config, study, Path(directory), reporter, spy=watch) as devices,
    ):
        assert isinstance(devices, SecureGridDevices)
        yield devices


def request_of(config: Config, number: int, values: NDArray[np.float32], users: int, features: Features) -> Request:
    """A training round that asks all of so many users with some parameters."""
    return make_request(QUERIES["training"], config, number, Broadcast({"parameters": values}), users, features)


def crypto_seconds(degree: int, length: int, bits: int) -> float:
    """What the protocol's cryptography takes a device and sum here: two agreements and two boxes a neighbour, masks,
    own signatures.

    The median of several tries each; signatures of others are left out, which the devices of a process check together.
    """
    private, public = keys.box_pair(bytes(keys.SEED_BYTES))
    peer, signer = keys.mask_pair(bytes(keys.SEED_BYTES))[1], identity.DeviceIdentity.fresh()
    ring, elements = Ring(bits), np.zeros(length, dtype=np.uint64)
    signed = [(bytes(masks.KEY_BYTES), 1)] * (degree + 1)

    def work() -> None:
        for _ in range(2 * degree):
            keys.box_key(private, public, peer, b"context")
        for _ in range(4 * degree):
            keys.receipt(bytes(32), public, peer, b"view")
        for _ in range(6):
            signer.sign(b"label", bytes(32))
        masks.mask_packed(elements, signed, ring)

    return float(np.median([seconds_of(work) for _ in range(7)]))
