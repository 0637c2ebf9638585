"""Devices that misbehave under secure aggregation, behind a grid that can lose replies or bring them late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
import query_cases
from flwr.app import Context, Error, Message
from message_cases import data_of, replace_data
from numpy.typing import NDArray

from fedrec.client import device as device_module
from fedrec.client.app import app
from fedrec.client.trust import identity_of
from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.data.store import EventStore
from fedrec.queries.request import Request
from fedrec.queries.secure_wire import Exchange
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.messages import Advertise, Complaints, Masked, Shares, Unmask
from fedrec.server.secure_devices import SecureDevices
from fedrec.server.stragglers import StragglerPolicy
from fedrec.simulation.engines import grid_devices as engine
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.study import Study

# A node's reply with this error is lost on the way; a second one comes when nobody waits for it any more.
LOST, LATE = 901, 902
PATIENCE = 0.3


@dataclass
class Turn:
    """One message to one device: what it would say, and what it has said before. ``honest()`` may be called once."""

    node: int
    exchange: Exchange
    honest: Callable[[], bytes]
    before: list[bytes]
    identity: DeviceIdentity


# Gives the bytes that the device sends, or an error in place of a reply; may raise anything.
Act = Callable[[Turn], "bytes | Error"]


@dataclass
class Stage:
    """Who misbehaves where, and what every device put under its masks: element vectors by request and node."""

    acts: dict[tuple[int, Exchange], Act] = field(default_factory=dict)
    elements: dict[str, dict[int, NDArray[np.uint64]]] = field(default_factory=lambda: defaultdict(dict))
    said: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def put(self, exchange: Exchange, acts: Mapping[int, Act]) -> None:
        """From now on these nodes misbehave in this exchange, and in no other."""
        self.acts = {(node, exchange): act for node, act in acts.items()}

    def sum(self, request: Request, who: Iterable[int]) -> NDArray[np.float64]:
        """The exact sum of what these devices masked."""
        total = None
        for node in who:
            part = self.elements[request.query][node]
            total = part if total is None else request.sum.ring.add(total, part)
        return request.sum.open(total)


class LossyGrid(InProcessGrid):
    """Loses replies, and brings others only when the next exchange is under way."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held: list[Message] = []
        self._ripe: list[Message] = []

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self._ripe, self._held = self._ripe + self._held, []
        return super().push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        found, self._ripe = self._ripe, []
        for reply in super().pull_messages(message_ids):
            if reply.metadata.__dict__.get("_late"):
                self._held.append(reply)
            elif not (reply.has_error() and reply.error.code == LOST):
                found.append(reply)
        return found


@contextmanager
def hostile_devices(
    config: Config, study: Study, out: Path, *, shared: bool = False
) -> Iterator[tuple[SecureDevices, Stage]]:
    """The devices of a study in one process, any of which can be made to misbehave.

    Each opens its store for each message, checks all itself and keeps nothing in memory, as a person's device does;
    ``shared``: as the simulation lets them, see `fedrec.client.shared_work`.
    """
    stage = Stage()
    true_elements = device_module.Device.elements

    def noted(self: device_module.Device, store: EventStore, request: Request) -> NDArray[np.uint64]:
        found = true_elements(self, store, request)
        stage.elements[request.query][int(self.store.stem)] = found
        return found

    def call(message: Message, context: Context) -> Message:
        return _reply(stage, out / "stores", message, context)

    with pytest.MonkeyPatch.context() as patched, open_reporter(silent=True) as reporter:
        patched.setattr(device_module.Device, "elements", noted)
        patched.setattr(engine, "app", call)
        patched.setattr(engine, "InProcessGrid", LossyGrid)
        if not shared:
            patched.setattr(engine, "shared_work", lambda devices: nullcontext())
        with engine.grid_devices(config, study, out, reporter) as devices:
            assert isinstance(devices, SecureDevices)
            devices.dispatcher = replace(devices.dispatcher, policy=StragglerPolicy(patience=PATIENCE))
            yield devices, stage


def _reply(stage: Stage, stores: Path, message: Message, context: Context) -> Message:
    node, exchange = context.node_id, Exchange(message.metadata.message_type.removeprefix("query."))
    act = stage.acts.get((node, exchange))
    honest: list[Message] = []

    def say() -> bytes:
        honest.append(app(message, context))
        return _bytes(honest[0])

    if act is None:
        reply = app(message, context)
        if reply.has_content():
            stage.said[node].append(_bytes(reply))
        return reply
    with EventStore.open(stores / f"{node:05d}.sqlite", check=False) as store:
        identity = identity_of(store)
    sent = act(Turn(node, exchange, say, stage.said[node], identity))
    if isinstance(sent, Error) and sent.code != LATE:
        return Message(sent, reply_to=message)
    reply = honest[0] if honest else app(message, context)
    if isinstance(sent, Error):
        reply.metadata.__dict__["_late"] = True
    else:
        replace_data(reply, "message", sent)
    return reply


def _bytes(reply: Message) -> bytes:
    return data_of(reply, "message")


def requests(config: Config, study: Study) -> tuple[Request, Request]:
    """The first two of a run."""
    second = query_cases.cooccurrence(config, np.arange(cases.ITEMS), cases.ITEMS, cases.USERS)
    return cases.popularity_question(config, study), second


# What a device can do in place of its part


def crash(turn: Turn) -> bytes:
    raise MemoryError


def silence(turn: Turn) -> Error:
    return Error(LOST, "lost")


def late(turn: Turn) -> Error:
    return Error(LATE, "late")


def garbage(turn: Turn) -> bytes:
    honest = turn.honest()
    return np.random.default_rng(turn.node).bytes(len(honest))


def cut_short(turn: Turn) -> bytes:
    return turn.honest()[:-1]


def too_long(turn: Turn) -> bytes:
    return turn.honest() + bytes(1)


def empty(turn: Turn) -> bytes:
    return b""


def replay(turn: Turn) -> bytes:
    """What it said last, in this sum or in the one before."""
    return turn.before[-1]


def unsigned(turn: Turn) -> bytes:
    """The right message with a signature of nobody."""
    return turn.honest()[:-64] + bytes(64)


def wrong_length(turn: Turn) -> bytes:
    """A vector of another length, with a good signature."""
    message = Masked.from_bytes(turn.honest())
    return replace(message, packed=message.packed[:-8]).signed(turn.identity).to_bytes()


def no_receipts(turn: Turn) -> bytes:
    message = Masked.from_bytes(turn.honest())
    return replace(message, receipts=()).signed(turn.identity).to_bytes()


def false_receipts(turn: Turn) -> bytes:
    message = Masked.from_bytes(turn.honest())
    return replace(message, receipts=tuple(bytes(16) for _ in message.receipts)).signed(turn.identity).to_bytes()


def useless_keys(turn: Turn) -> bytes:
    """A key of small order, with which everybody agrees on the same secret."""
    message = Advertise.from_bytes(turn.honest())
    return replace(message, mask_key=bytes(32)).signed(turn.identity).to_bytes()


def false_boxes(turn: Turn) -> bytes:
    """Boxes that nobody can open."""
    message = Shares.from_bytes(turn.honest())
    return replace(message, boxes=tuple(bytes(len(box)) for box in message.boxes)).signed(turn.identity).to_bytes()


def false_commitment(turn: Turn) -> bytes:
    """Its own mask's seed is none that it committed to, so nobody can check what is opened."""
    message = Shares.from_bytes(turn.honest())
    return replace(message, self_commitment=bytes(32)).signed(turn.identity).to_bytes()


def false_complaints(turn: Turn) -> bytes:
    """That nobody's box opens, which is not so."""
    message = Complaints.from_bytes(turn.honest(), cases.USERS - 1)
    everybody = frozenset(range(cases.USERS - 1))
    return replace(message, slots=everybody).signed(turn.identity).to_bytes()


def false_shares(turn: Turn) -> bytes:
    """Shares of others' secrets that it makes up."""
    message = Unmask.from_bytes(turn.honest(), cases.USERS - 1)
    lies = tuple(b"\0" + bytes(30) + bytes([at]) for at in range(len(message.shares)))
    return replace(message, shares=lies).signed(turn.identity).to_bytes()


def malformed_shares(turn: Turn) -> bytes:
    """Shares that are no numbers of the field."""
    message = Unmask.from_bytes(turn.honest(), cases.USERS - 1)
    noise = tuple(b"\xff" * len(share) for share in message.shares)
    return replace(message, shares=noise).signed(turn.identity).to_bytes()
