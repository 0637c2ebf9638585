"""One door with secure aggregation: what devices send are the protocol's messages, of one form for all, and no vector
can be told from noise.

The devices are those of ``test_boundary_one_door``: one has done nothing, one everything, one holds what is looked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Message
from flwr.common.serde import message_to_proto, recorddict_to_proto
from message_cases import data_of, form_of
from test_boundary_one_door import BUSY, IDLE, NOTE, PHOTO_NAME, PLANTED, QUERIES, UNKNOWN_ITEM, USER, forms_of, plant

from fedrec.console import open_reporter
from fedrec.queries.secure_wire import Exchange, thresholds_of
from fedrec.secagg import bits
from fedrec.secagg.messages import Masked
from fedrec.simulation.engines import grid_devices as engine
from fedrec.simulation.study import Study

CONFIG = cases.settings(secure_aggregation={"protocol": "secagg+"})
CONSTANTS = {"format": 1, "protocol": "secagg+"}


@dataclass
class Seen:
    """One message down and the one up."""

    node: int
    group: str
    exchange: Exchange
    down: Message
    up: Message

    @property
    def data(self) -> bytes:
        return data_of(self.up, "message")


@contextmanager
def spied(study: Study, out: Path) -> Iterator[list[Seen]]:
    seen: list[Seen] = []

    def spy(down: Message, up: Message) -> None:
        about = down.metadata
        exchange = Exchange(about.message_type.removeprefix("query."))
        seen.append(Seen(about.dst_node_id, about.group_id, exchange, down, up))

    _, stores = cases.place(study, out)
    plant(study, stores)
    with (
        open_reporter(silent=True) as reporter,
        engine.grid_devices(CONFIG, study, out, reporter, spy=spy) as devices,
    ):
        # Two users share one device, so the roster stands for one more user than there are devices.
        devices._users = cases.USERS + 1
        cases.run(CONFIG, study, devices, out / "server")
    yield seen


@pytest.fixture(scope="module")
def wire(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Seen]]:
    with spied(federation_study, tmp_path_factory.mktemp("masked")) as seen:
        yield seen


def test_a_sum_is_five_exchanges_with_every_device_one_with_a_few_and_nothing_else(wire: list[Seen]) -> None:
    sums = sum(QUERIES.values())
    for exchange in set(Exchange) - {Exchange.CONFIRM}:
        nodes = [seen.node for seen in wire if seen.exchange is exchange]
        assert sorted(nodes) == sorted([*range(cases.USERS)] * sums)
    committee = thresholds_of(CONFIG.secure_aggregation, cases.USERS).committee(cases.USERS).members
    asked = Counter(seen.group for seen in wire if seen.exchange is Exchange.CONFIRM)
    assert len(asked) == sums and set(asked.values()) == {committee}
    assert len(wire) == (5 * cases.USERS + committee) * sums


def test_what_goes_up_are_two_constants_and_the_protocols_bytes_of_one_size(wire: list[Seen]) -> None:
    sizes = defaultdict(set)
    for seen in wire:
        assert not seen.up.has_error()
        fields, arrays = form_of(seen.up)
        assert fields == {name: (value, type(value)) for name, value in CONSTANTS.items()}
        size = len(seen.data)
        assert arrays == {"message": ("uint8", [size], size)}
        sizes[seen.group, seen.exchange].add((size, recorddict_to_proto(seen.up.content).ByteSize()))
    assert all(len(size) == 1 for size in sizes.values()), dict(sizes)


def test_the_question_goes_down_once_and_later_messages_are_the_protocols_bytes(wire: list[Seen]) -> None:
    for seen in wire:
        fields, arrays = form_of(seen.down)
        if seen.exchange is Exchange.ADVERTISE:
            assert set(fields) == {"request", "session", "catalogue", "attempt"}
        else:
            assert fields == {name: (value, type(value)) for name, value in CONSTANTS.items()}
            assert list(arrays) == ["message"]


def test_no_message_holds_what_a_device_holds(wire: list[Seen], federation_study: Study) -> None:
    texts = [USER, NOTE, UNKNOWN_ITEM, PHOTO_NAME, "canary", *federation_study.dataset.users]
    secrets = [form for text in texts for form in forms_of(text.encode())]
    for seen in wire:
        answer = bytes(message_to_proto(seen.up).SerializeToString(deterministic=True))
        assert not [secret for secret in secrets if secret in answer], seen.group


def ones(packed: bytes) -> float:
    """How far the share of ones is from a half, in standard deviations of fair coins."""
    drawn = np.unpackbits(np.frombuffer(packed, np.uint8))
    return abs(float(drawn.sum()) - len(drawn) / 2) / np.sqrt(len(drawn) / 4)


def test_a_masked_vector_looks_the_same_whatever_is_under_it(wire: list[Seen]) -> None:
    """The vector of the idle device is all zeros; nobody could say so of what it sends."""
    for node in (IDLE, BUSY, PLANTED):
        packed = [Masked.from_bytes(s.data).packed for s in wire if s.node == node and s.exchange is Exchange.MASK]
        assert len(packed) == sum(QUERIES.values())
        assert all(ones(vector) < 6 for vector in packed)
        assert len(set(packed)) == len(packed)
    cooccurrence = {
        seen.node: Masked.from_bytes(seen.data).packed
        for seen in wire
        if seen.exchange is Exchange.MASK and seen.group.startswith("cooccurrence")
    }
    width, count = 8, len(cooccurrence[IDLE])
    words = [bits.unpack(cooccurrence[node], count, width) for node in (IDLE, BUSY)]
    histograms = [np.bincount(found.astype(np.int64), minlength=256) for found in words]
    # Chi-square of two samples over 255 degrees of freedom: mean 255, standard deviation 22.6.
    top, bottom = (histograms[0] - histograms[1]) ** 2, histograms[0] + histograms[1]
    assert float((top / np.maximum(bottom, 1)).sum()) < 255 + 7 * 22.6


def test_a_plain_vector_would_be_told_from_noise() -> None:
    """The check above can fail: what is under the idle device's masks is found out at once."""
    assert ones(bits.pack(np.zeros(1000, np.uint64), 26)) > 6
