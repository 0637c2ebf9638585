"""A deployment on paper: all sums of a run over so many devices (`fedrec.server.capacity`), and what breaks first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

from fedrec.config import Config
from fedrec.queries.schedule import asked_by
from fedrec.secagg.errors import RefusedError
from fedrec.server.capacity import Constants, SumPlan, links_of, planned_sum, roster_bytes

_MOST_DEVICES: Final = 10_000_000_000


@dataclass(frozen=True)
class Limit:
    """``what`` is ``value``, and may be ``most``; so it holds up to ``devices`` of them.  ``past``: the way past it."""

    what: str
    value: float
    most: float
    devices: int
    past: str

    @property
    def broken(self) -> bool:
        """Whether it does not hold here."""
        return self.value > self.most


def capacity(
    config: Config, devices: int, users: int, items: int, parameters: int, constants: Constants | None = None
) -> dict[str, Any]:
    """The plan, JSON-able.

    Args:
        config: settled settings, with a protocol (`fedrec.api.config_plan.settled`).
        devices: that take part.
        users: that stand behind them.
        items: of the catalogue.
        parameters: of the shared model, where one is trained.
        constants: what seconds are reckoned with.

    Returns:
        ``sums``: of each query.  ``run``: of all of them together.  ``links``: SuperLinks that are needed.  ``limits``:
        what breaks, the first one first.

    Raises:
        ConfigError: the settings ask something whose length does not follow from these numbers.
        RefusedError: no devices would take part in sums of so many.
    """
    known = constants or Constants()
    links, grown = links_of(devices, known), _Grown(config, devices, users, items, parameters, known)
    plans = [planned_sum(one, config, devices, users, items, parameters, known) for one in asked_by(config)]
    last_up = {one.query: one.device_up * one.sums for one in plans}
    share = {one.query: one.asked / devices for one in plans}
    return {
        "devices": devices,
        "protocol": config.secure_aggregation.protocol,
        "sums": [{**asdict(one), "whole_seconds": one.whole_seconds} for one in plans],
        "run": {
            "sums": sum(one.sums for one in plans),
            "seconds": sum(one.sums * one.whole_seconds for one in plans),
            "messages": sum(one.sums * one.messages for one in plans),
            "device_up": sum(last_up[one.query] * share[one.query] for one in plans),
            "device_down": sum(one.device_down * one.sums * share[one.query] for one in plans),
            "server_up": sum(one.sums * one.server_up for one in plans),
            "server_down": sum(one.sums * one.server_down for one in plans),
            "roster_bytes": roster_bytes(devices),
        },
        "links": links,
        "limits": [{**asdict(one), "broken": one.broken} for one in _limits(grown)],
        "constants": asdict(known),
    }


@dataclass(frozen=True)
class _Grown:
    """The same run with more devices or fewer, and as many people behind each."""

    config: Config
    devices: int
    users: int
    items: int
    parameters: int
    known: Constants

    def plans(self, devices: int) -> list[SumPlan]:
        users, config = max(2, round(self.users * devices / self.devices)), self.config
        made = (self.items, self.parameters, self.known)
        return [planned_sum(one, config, devices, users, *made, noise=False) for one in asked_by(config)]


def _limits(grown: _Grown) -> list[Limit]:
    """What breaks, that which breaks with the fewest devices first."""
    known, plans = grown.known, lru_cache(maxsize=None)(grown.plans)

    def most(of: Callable[[SumPlan], float]) -> Callable[[int], float]:
        return lambda devices: max(map(of, plans(devices)), default=0.0)

    found: tuple[tuple[str, Callable[[int], float], float, str], ...] = (
        (
            "requests a second of idle SuperNodes, at one SuperLink",
            lambda devices: devices / known.poll_seconds,
            known.link_requests,
            "more SuperLinks, a core each, with a part of the roster each",
        ),
        (
            "hours of the longest sum",
            most(lambda one: one.whole_seconds / 3600),
            known.round_seconds / 3600,
            "cohorts of a few thousand (training.sampling), or groups, one sum each",
        ),
        (
            "megabytes that a sum brings to a device",
            most(lambda one: one.device_down / 1e6),
            known.device_megabytes,
            "cohorts, since lists of who is there grow with them; a lower rank, a smaller model",
        ),
        (
            "megabytes of the roster on a device",
            lambda devices: roster_bytes(devices) / 1e6,
            known.device_megabytes,
            "rosters of groups, so that a device holds its group's",
        ),
        (
            "gigabytes of messages that a sum leaves at one SuperLink",
            lambda devices: most(lambda one: one.server_up + one.server_down)(devices) / 1e9 / links_of(devices, known),
            known.server_gigabytes,
            "more SuperLinks, or a protocol of one message a device",
        ),
    )
    limits = [Limit(what, of(grown.devices), at, _holds_up_to(of, at), past) for what, of, at, past in found]
    return sorted(limits, key=lambda one: one.devices)


def _holds_up_to(value: Callable[[int], float], most: float) -> int:
    """The most devices, up to a tenth, at which a value that grows with them is within its limit."""

    def holds(devices: int) -> bool:
        try:
            return value(devices) <= most
        except RefusedError:  # too few for any sum at all
            return True

    low, high = 2, _MOST_DEVICES
    if holds(high):
        return high
    while high > 1.1 * low:
        middle = round(math.sqrt(low * high))
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
