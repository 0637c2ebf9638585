"""The secure aggregation that comes with Flower, timed through its own functions: what fedrec's is compared with.

A device's four steps are the functions behind Flower's client modifier, called with its own state object, without the
copying of state and messages around them.  The server's part is its workflow's last stage as it is, with a grid
that answers from memory: timed from the moment the answers are there until the strategy is given the sum.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod.secure_aggregation.secaggplus_mod import (
    SecAggPlusState,
    _collect_masked_vectors,
    _setup,
    _share_keys,
    _unmask,
)
from flwr.common import bytes_to_ndarray, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_addition, parameters_mod
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.server.workflow.secure_aggregation import secaggplus_workflow as server
from numpy.typing import NDArray

from fedrec.simulation.bench.secagg import run_secagg
from fedrec.simulation.bench.secagg_limits import median
from fedrec.simulation.engines.grid import InProcessGrid

_TIMES = ("device_ms", "device_cpu_ms", "server_s", "server_open_cpu_s")
_TURNS = 30  # rounds of each side times neighbours, roughly
CLIP, LEVELS, MODULUS = 8.0, 1 << 22, 1 << 32  # Flower's defaults


@dataclass
class FlowerRound:
    """One round over a ring of neighbours, all of whose devices share; every tenth, say, then drops out."""

    devices: int
    shares: int  # neighbours and the device itself
    threshold: int
    dropped: frozenset[int]
    length: int
    states: dict[int, Any] = field(default_factory=dict)
    public: dict[int, list[bytes]] = field(default_factory=dict)
    boxes: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    masked: list[NDArray[Any]] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    grid: InProcessGrid | None = None
    opened_at: float = 0.0
    answered_at: float = 0.0
    opened_cpu: float = 0.0
    answered_cpu: float = 0.0
    opened: NDArray[np.float64] | None = None

    @property
    def neighbours(self) -> dict[int, set[int]]:
        """Of each device, itself included; ids count from 1."""
        half = self.shares // 2
        return {
            at + 1: {(at + offset) % self.devices + 1 for offset in range(-half, half + 1)}
            for at in range(self.devices)
        }

    def clock(self, node: int, work: Callable[[], Any]) -> Any:
        """Do a device's work on its account."""
        # Its threads' time too: Flower splits and combines secrets in threads.
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        self.seconds[node] = self.seconds.get(node, 0.0) + time.perf_counter() - wall
        self.cpu_seconds[node] = self.cpu_seconds.get(node, 0.0) + time.process_time() - cpu
        return result

    def advertise(self) -> None:
        """Stage 0 of every device."""
        settings = ConfigRecord(
            {
                Key.SAMPLE_NUMBER: self.devices,
                Key.SHARE_NUMBER: self.shares,
                Key.THRESHOLD: self.threshold,
                Key.CLIPPING_RANGE: CLIP,
                Key.TARGET_RANGE: LEVELS,
                Key.MOD_RANGE: MODULUS,
                Key.MAX_WEIGHT: 1.0,
            }
        )
        for node in self.neighbours:
            self.states[node] = SecAggPlusState()
            self.states[node].nid = node
            keys = self.clock(node, lambda node=node: _setup(self.states[node], settings))  # type: ignore[misc]
            self.public[node] = [keys[Key.PUBLIC_KEY_1], keys[Key.PUBLIC_KEY_2]]

    def share(self) -> None:
        """Stage 1 of every device."""
        self.boxes = {node: [] for node in self.states}
        for node, around in self.neighbours.items():
            keys = ConfigRecord({str(other): self.public[other] for other in around})
            sent = self.clock(node, lambda node=node, keys=keys: _share_keys(self.states[node], keys))  # type: ignore[misc]
            for to, box in zip(sent[Key.DESTINATION_LIST], sent[Key.CIPHERTEXT_LIST], strict=True):
                self.boxes[to].append((node, box))

    def mask(self, vectors: Callable[[int], NDArray[np.float64]]) -> None:
        """Stage 2 of every device that stays, and the server's adding up."""
        for node in self.states:
            if node in self.dropped:
                continue
            sources, boxes = zip(*self.boxes[node], strict=True)
            inbox = ConfigRecord({Key.CIPHERTEXT_LIST: list(boxes), Key.SOURCE_LIST: list(sources)})
            vector = ndarrays_to_parameters([vectors(node)])
            sent = self.clock(
                node,
                lambda node=node, inbox=inbox, vector=vector: _collect_masked_vectors(  # type: ignore[misc]
                    self.states[node], inbox, 1, vector
                ),
            )
            arrays = [bytes_to_ndarray(one) for one in sent[Key.MASKED_PARAMETERS]]
            self.masked = parameters_addition(self.masked, arrays) if self.masked else arrays
        self.masked = parameters_mod(self.masked, MODULUS)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Stage 3 of the devices, as the server's grid: their answers are all there when this returns."""
        assert self.grid is not None
        answers = self.grid.send_and_receive(messages, timeout=timeout)
        self.answered_at, self.answered_cpu = time.perf_counter(), time.process_time()
        return answers

    def answer(self, message: Message, context: Context) -> Message:
        """A device's shares."""
        node = message.metadata.dst_node_id
        asked = message.content.config_records[RECORD_KEY_CONFIGS]
        shares = self.clock(node, lambda: _unmask(self.states[node], asked))
        return Message(RecordDict({RECORD_KEY_CONFIGS: ConfigRecord(shares)}), reply_to=message)

    def aggregate_fit(self, number: int, results: list[Any], failures: list[Any]) -> tuple[None, dict[str, Any]]:
        """The strategy's entry point: the sum is open."""
        self.opened_at, self.opened_cpu = time.perf_counter(), time.process_time()
        self.opened = parameters_to_ndarrays(results[0][1].parameters)[0]
        return None, {}

    def unmask(self) -> None:
        """Stage 3 of the server."""
        workflow = server.SecAggPlusWorkflow(
            self.shares, self.threshold, max_weight=1.0, clipping_range=CLIP, quantization_range=LEVELS
        )
        state = server.WorkflowState(
            sampled_node_ids=set(self.states),
            active_node_ids=set(self.states) - self.dropped,
            threshold=self.threshold,
            clipping_range=CLIP,
            quantization_range=LEVELS,
            mod_range=MODULUS,
            nid_to_neighbours=self.neighbours,
            nid_to_publickeys=self.public,
            aggregate_ndarrays=self.masked,
            legacy_results=[cast(Any, (None, SimpleNamespace(parameters=None)))],
        )
        record = {MAIN_CONFIGS_RECORD: ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})}
        context = SimpleNamespace(state=SimpleNamespace(config_records=record), strategy=self)
        # The requests are written inside the grid's identity, which they need.
        with InProcessGrid(self.answer, dict.fromkeys(self.states, cast(Context, None)), run_id=1) as self.grid:
            opened = workflow.unmask_stage(cast(Any, self), cast(Any, context), state)
        if not opened:
            raise RuntimeError("Flower's workflow did not open the sum")


def run_flower(devices: int, length: int, neighbours: int, threshold: int, dropped: frozenset[int]) -> dict[str, Any]:
    """A whole round of Flower's protocol in this process, one vector of ``length`` floats a device.

    ``dropped``: ids, counted from 1, of devices that are gone before they send a masked vector.

    Returns:
        ``device_ms`` (median over the devices that stayed), ``server_s`` and whether the mean came out right.
    """
    logging.getLogger("flwr").setLevel(logging.WARNING)
    run = FlowerRound(devices, neighbours + 1, threshold, dropped, length)

    def vector(node: int) -> NDArray[np.float64]:
        return np.random.default_rng(node).uniform(-1, 1, length)

    run.advertise()
    run.share()
    run.mask(vector)
    run.unmask()
    stayed = [node for node in run.states if node not in dropped]
    mean = sum((vector(node) for node in stayed), np.zeros(length)) / len(stayed)
    assert run.opened is not None
    return {
        "device_ms": median([run.seconds[node] for node in stayed]),
        "device_cpu_ms": median([run.cpu_seconds[node] for node in stayed]),
        "server_s": run.opened_at - run.answered_at,
        "server_open_cpu_s": run.opened_cpu - run.answered_cpu,
        "right": bool(np.abs(run.opened - mean).max() < 2 * CLIP / LEVELS),
    }


def side_by_side(
    degree: int, threshold: int, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The medians of both sides' figures over their rounds, and how many times one is the other."""
    fedrec = {name: statistics.median(one[name] for one in ours) for name in (*_TIMES, "bytes_up")}
    flower = {name: statistics.median(one[name] for one in theirs) for name in _TIMES}
    return {
        "neighbours": degree,
        "threshold": threshold,
        "rounds": len(ours),
        "fedrec": fedrec
        | {"exact": all(one["exact"] for one in ours), "device_threads_at_most": ours[0]["device_workers"]}
        | {"server_threads_at_most": ours[0]["workers"]},
        # For secrets only; what they run holds the interpreter's lock.
        "flower": flower
        | {"right": all(one["right"] for one in theirs), "device_threads_at_most": os.cpu_count() or 1},
        "device_times_faster": flower["device_ms"] / fedrec["device_ms"],
        "device_cpu_times_faster": flower["device_cpu_ms"] / fedrec["device_cpu_ms"],
        "server_times_faster": flower["server_s"] / fedrec["server_s"],
        "server_cpu_times_faster": flower["server_open_cpu_s"] / fedrec["server_open_cpu_s"],
        "load_before": [one["load_before"] for one in ours],
    }


def compare(
    devices: int, length: int, dropout: float, degrees: Sequence[int], *, workers: int | None
) -> dict[str, Any]:
    """fedrec's rounds and Flower's one after the other in this process: same neighbours, threshold, length and kind of
    vector.

    With few neighbours several rounds of each, and the median of their figures: other work on the machine that comes
    and goes then falls on both.  What Flower's client does around the four functions (copying its state into records
    and back, messages into bytes) is not counted; making and reading all bytes that travel is, for fedrec's.

    Returns:
        For each number of neighbours both sides' figures, and how many times faster fedrec's device and server are.
    """
    found = []
    for degree in degrees:
        threshold = (degree + 1) // 2 + 1
        gone = np.random.default_rng(devices).permutation(devices)[: round(dropout * devices)]
        ours, theirs = [], []
        for _ in range(max(1, _TURNS // degree)):
            ours.append(
                run_secagg(
                    devices, length, dropout, neighbours=degree, threshold=threshold, workers=workers, limits=False
                )
            )
            theirs.append(run_flower(devices, length, degree, threshold, frozenset((gone + 1).tolist())))
        found.append(side_by_side(degree, threshold, ours, theirs))
    return {
        "against": f"flwr {metadata.version('flwr')}",
        "devices": devices,
        "length": length,
        "dropout": dropout,
        "workers": workers,
        "compared": found,
    }
