"""A sum on paper: what it sends over so many devices, and how long it takes.

Messages and bytes are exact (`fedrec.secagg.sizes`, and the requests that the settings lead to); a test holds them to
what the in-process grid counts.  What a request says beside the arrays that its sum's length follows from, such as the
factors that a selection reads with, is not in them.  Seconds follow from `Constants`, which were measured on one
machine: docs/scaling.md has the formulae and where each number is from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError
from fedrec.privacy.run_plan import share_of
from fedrec.queries.plan import costs_of
from fedrec.queries.query import Query
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.schedule import make_request
from fedrec.queries.secure_wire import PROTOCOL, thresholds_of
from fedrec.queries.wire import Envelope
from fedrec.secagg.identity import SIGNATURE_BYTES
from fedrec.secagg.messages import KEY_BYTES
from fedrec.secagg.sizes import ExchangeTraffic, SumTraffic, sum_traffic

_HASH: Final = 64  # hexadecimal digits of a catalogue's digest
_SESSION: Final = 32


@dataclass(frozen=True)
class Constants:
    """What the seconds are reckoned with.  All can be given; the defaults are docs/scaling.md's.

    Args:
        exchange_seconds: from a message's push to its reply, for one device that is awake: SuperNodes ask every 3 s.
        link_messages: messages that one SuperLink takes and gives a second, on one core.
        link_requests: requests of SuperNodes that ask for messages, and find none, a second on one core.
        poll_seconds: between two of them.
        device_seconds, device_seconds_neighbour: processor time of a device and sum, and of each neighbour in it.
        mask_nanoseconds: of one mask on one element.
        server_seconds: of the server for a device and the binary logarithm of how many there are.
        cores: of the server.
        server_megabits, device_megabits: of the server's line, and a device's upstream.
        round_seconds: what a sum may take before it counts as broken.
        device_megabytes: what a sum may bring to a device before it counts as broken.
        server_gigabytes: of the server's disk or memory for the messages of one sum.
    """

    exchange_seconds: float = 6.0
    link_messages: float = 6.7
    link_requests: float = 90.0
    poll_seconds: float = 3.0
    device_seconds: float = 0.012
    device_seconds_neighbour: float = 0.00035
    mask_nanoseconds: float = 0.9
    server_seconds: float = 0.0002
    cores: int = 4
    server_megabits: float = 1000.0
    device_megabits: float = 5.0
    round_seconds: float = 3600.0
    device_megabytes: float = 10.0
    server_gigabytes: float = 64.0


@dataclass(frozen=True)
class SumPlan:
    """One query of a run.  ``asked``: devices of a sum.  ``sums``: of the run.  Bytes and messages are of one sum."""

    query: str
    sums: int
    asked: int
    length: int
    bits: int
    neighbours: int
    messages: int
    device_up: int
    device_down: int
    server_up: int
    server_down: int
    seconds: dict[str, float]

    @property
    def whole_seconds(self) -> float:
        """Of one sum, one part after the other."""
        return sum(self.seconds.values())


def links_of(devices: int, known: Constants) -> int:
    """SuperLinks, a core each, that so many idle SuperNodes keep busy."""
    return max(1, math.ceil(devices / (known.link_requests * known.poll_seconds)))


def roster_bytes(devices: int) -> int:
    """About what the signed roster takes that every device has: a public key each."""
    return devices * KEY_BYTES + SIGNATURE_BYTES


def request_of(
    query: Query, config: Config, devices: int, users: int, items: int, parameters: int, *, noise: bool = True
) -> tuple[Request, int]:
    """The request of the first round of a query as it would be made, its arrays zeros; and how many it asks.

    ``noise``: with what devices add of it, whose amount takes seconds to find and a few bits an element to send.

    Raises:
        ConfigError: it says something of which the size is not known.
    """
    asked = max(1, round(share_of(config, devices) * devices)) if query.sampled else devices
    ids = tuple(map(str, range(items)))
    features = Features(ids, ids, {}, {})
    sizes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        "parameters": (np.float32, (parameters,)),
        "vectors": (np.float32, (items, config.collaborative.power_iteration.rank)),
        "items": (np.int32, (min(items, config.collaborative.cooccurrence.items or items),)),
        "weights": (np.int32, (items,)),
    }
    said: dict[str, NDArray[Any]] = {}
    while True:
        try:
            made = make_request(query, config, query.rounds(config)[0], Broadcast(said), users, features, number=0)
            break
        except KeyError as missing:
            name = str(missing.args[0])
            if name in said or name not in sizes:
                what = "the length of a sum follows from what a run finds"
                raise ConfigError(what, value=(query.name, name), action="Plan it without this query") from None
            said[name] = np.zeros(sizes[name][1], dtype=sizes[name][0])
    if noise and config.privacy.epsilon is not None and config.privacy.noise_place == "distributed":
        costs = {cost.query: cost for cost in costs_of(config, users, devices)}
        if query.name in costs:
            made = made.with_noise_of_devices(config, costs[query.name].noise_multiplier, asked)
    return made, asked


def traffic_of(request: Request, asked: int, config: Config, roster: int) -> tuple[SumTraffic, int]:
    """What a sum sends beside its request, and the request's own bytes to each device (fields and arrays)."""
    envelope = Envelope(request, "0" * _SESSION, "0" * _HASH)
    down = sum(len(text) for text in envelope.fields().values())
    down += sum(len(part.data) for part in envelope.parts().values())
    vector = request.sum.bytes_up
    if config.secure_aggregation.protocol == PROTOCOL:
        thresholds = thresholds_of(config.secure_aggregation, roster)
        thresholds = thresholds.for_noise(request.sum.survivors, request.sum.devices)
        return sum_traffic(asked, vector, thresholds, roster), down
    return SumTraffic(asked, 0, 0, 0, (ExchangeTraffic("answer", asked, 0, vector),)), down


def planned_sum(
    query: Query,
    config: Config,
    devices: int,
    users: int,
    items: int,
    parameters: int,
    known: Constants,
    *,
    noise: bool = True,
) -> SumPlan:
    """One query of a run; see `request_of`. Raises ConfigError, RefusedError."""
    request, asked = request_of(query, config, devices, users, items, parameters, noise=noise)
    traffic, down = traffic_of(request, asked, config, devices)
    once = [one for one in traffic.exchanges if one.asked == asked]
    plan = SumPlan(
        query=query.name,
        sums=len(query.rounds(config)),
        asked=asked,
        length=request.sum.length,
        bits=request.sum.ring.bits,
        neighbours=traffic.degree,
        messages=traffic.messages,
        device_up=sum(one.up for one in once),
        device_down=down + sum(one.down for one in once),
        server_up=traffic.server_up,
        server_down=traffic.server_down + asked * down,
        seconds={},
    )
    return replace(plan, seconds=_seconds(plan, traffic, known, links_of(devices, known)))


def _seconds(plan: SumPlan, traffic: SumTraffic, known: Constants, links: int) -> dict[str, float]:
    """Parts of one sum that follow each other; see docs/scaling.md for each."""
    masks = (traffic.degree + 1) * plan.length * known.mask_nanoseconds * 1e-9
    busy = max(1, min(links, plan.asked))
    depth = math.log2(max(2, plan.asked))
    opening = plan.asked * (known.server_seconds * depth + plan.length * known.mask_nanoseconds * 1e-9)
    return {
        "waiting": len(traffic.exchanges) * known.exchange_seconds,
        "device": known.device_seconds + traffic.degree * known.device_seconds_neighbour + masks,
        "device_line": plan.device_up * 8 / (known.device_megabits * 1e6),
        "messages": plan.messages / (known.link_messages * busy),
        "server_line": (plan.server_up + plan.server_down) * 8 / (known.server_megabits * 1e6 * busy),
        "opening": opening / known.cores if traffic.degree else 0.0,
    }
