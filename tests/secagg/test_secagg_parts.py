"""The protocol's small parts: identities, rosters, Merkle trees, graphs, bytes, shares that lie."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cases import World, agree, identities

from fedrec.errors import FedrecError, ProtocolError, SumError
from fedrec.secagg import codec, keys
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.identity import DeviceIdentity, verify
from fedrec.secagg.messages import Advertise, Complaints, Confirm, Masked, Shares, Unmask
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.ring import Ring
from fedrec.secagg.roster import Roster
from fedrec.secagg.server_messages import Certificate, Cohort, Inbox, Survivors, View


def test_an_identity_comes_back_from_the_store_and_goes_nowhere_else() -> None:
    made = DeviceIdentity.fresh()
    again = DeviceIdentity.from_private_bytes(made.private_bytes())
    assert again.public == made.public != DeviceIdentity.fresh().public
    assert made.private_bytes().hex() not in repr(made)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(made)
    with pytest.raises(ProtocolError):
        DeviceIdentity.from_private_bytes(bytes(31))


def test_a_signature_stands_for_one_purpose_one_message_one_key() -> None:
    one, two = identities(2)
    signature = one.sign(b"label", b"message")
    verify(one.public, b"label", b"message", signature)
    # A label and message that run together to the same text are another pair.
    for public, label, message, given_signature in [
        (two.public, b"label", b"message", signature),
        (one.public, b"labelm", b"essage", signature),
        (one.public, b"label", b"messagf", signature),
        (one.public, b"label", b"message", bytes(64)),
        (one.public, b"label", b"message", b""),
        (bytes(31), b"label", b"message", signature),
    ]:
        with pytest.raises(RefusedError) as caught:
            verify(public, label, message, given_signature)
        assert caught.value.reason is Reason.BAD_SIGNATURE


def test_rosters_are_canonical() -> None:
    made = identities(4)
    roster = Roster.of(reversed([device.public for device in made]), version=7)
    assert roster.devices == tuple(device.public for device in made)
    assert Roster.from_bytes(roster.to_bytes()) == roster
    assert [roster.place(device.public) for device in made] == [0, 1, 2, 3]
    assert roster.digest != replace(roster, version=8).digest
    for bad in (roster.devices[::-1], (roster.devices[0],) * 2, (bytes(31),), ()):
        with pytest.raises(ProtocolError):
            Roster(bad)
    data = roster.to_bytes()
    for spoiled in (data[:-1], data + b"\0", b"\x01" + data[1:], data[:13] + data[45:] + data[13:45]):
        with pytest.raises(ProtocolError):
            Roster.from_bytes(spoiled)
    with pytest.raises(RefusedError):
        roster.device(4)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(2, 60), seed=st.binary(min_size=32, max_size=32), data=st.data())
def test_graphs_are_regular_and_mutual(size: int, seed: bytes, data: st.DataObject) -> None:
    degrees = [*range(2, size - 1, 2), size - 1]
    degree = data.draw(st.sampled_from(degrees))
    graph = NeighbourGraph(seed, size, degree)
    near = [graph.neighbours(place) for place in range(size)]
    for place in range(size):
        assert len(set(near[place])) == degree and place not in near[place]
        for slot, neighbour in enumerate(near[place]):
            assert near[neighbour][graph.back(slot)] == place
            distance = abs(int(graph.position[place]) - int(graph.position[neighbour]))
            assert degree == size - 1 or min(distance, size - distance) <= degree // 2


def test_graphs_orders_are_spread_evenly() -> None:
    """Each of the three possible rings of four devices (who stands opposite the first) about equally often."""
    seen: Counter[int] = Counter()
    for at in range(600):
        graph = NeighbourGraph(hashlib.sha256(bytes([at % 256, at // 256])).digest(), 4, 2)
        seen[({1, 2, 3} - set(graph.neighbours(0))).pop()] += 1
    assert set(seen) == {1, 2, 3} and all(abs(count - 200) < 6 * (600 * 2 / 9) ** 0.5 for count in seen.values())


@pytest.mark.parametrize(("size", "degree"), [(1, 0), (6, 3), (6, 6), (6, 0), (5, 5)])
def test_graphs_that_do_not_exist(size: int, degree: int) -> None:
    with pytest.raises(ValueError, match="no such graph"):
        NeighbourGraph(bytes(32), size, degree)


def _messages() -> list[tuple[bytes, object]]:
    world = World.of(6)
    cohorts = world.advertise()
    inboxes = world.share(cohorts)
    views = world.check_boxes(inboxes)
    lists = world.mask(views, {5})
    certificates = world.confirm(lists)
    world.unmask(certificates)
    signer = min(lists)
    return [
        (world.sent[0][0], Advertise.from_bytes),
        (cohorts[0], lambda data: Cohort.from_bytes(data, 6)),
        (world.sent[1][0], Shares.from_bytes),
        (inboxes[0], lambda data: Inbox.from_bytes(data, 6)),
        (world.sent[2][0], lambda data: Complaints.from_bytes(data, 5)),
        (views[0], lambda data: View.from_bytes(data, 6)),
        (world.sent[3][0], Masked.from_bytes),
        (lists[signer], lambda data: Survivors.from_bytes(data, 6)),
        (world.sent[4][0], Confirm.from_bytes),
        (certificates[0], lambda data: Certificate.from_bytes(data, 6)),
        (world.sent[5][0], lambda data: Unmask.from_bytes(data, 5)),
    ]


MESSAGES = _messages()


@pytest.mark.parametrize("at", range(11))
def test_messages_have_one_form(at: int) -> None:
    data, read = MESSAGES[at]
    assert read(data).to_bytes() == data  # type: ignore[operator]
    for bad in (data[:-1], data + b"\0", b"", data[:1], b"\x01" + data[1:], data[:1] + b"\x63" + data[2:]):
        with pytest.raises(RefusedError) as caught:
            read(bad)  # type: ignore[operator]
        assert caught.value.reason is Reason.MALFORMED


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 10), data=st.data())
def test_corrupted_messages_are_read_as_themselves_or_refused(at: int, data: st.DataObject) -> None:
    """Any bytes: a library's error never comes out, and what is read means exactly those bytes."""
    whole, read = MESSAGES[at]
    spoiled = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(spoiled[: data.draw(st.integers(0, len(spoiled)))]) if data.draw(st.booleans()) else bytes(spoiled)
    try:
        assert read(cut).to_bytes() == cut  # type: ignore[operator]
    except FedrecError as error:
        assert isinstance(error, RefusedError)


@given(size=st.integers(1, 70), data=st.data())
def test_bitmaps(size: int, data: st.DataObject) -> None:
    members = data.draw(st.frozensets(st.integers(0, size - 1)))
    bits = codec.bitmap(members, size)
    assert codec.read_bitmap(bits, size, "it") == members
    with pytest.raises(RefusedError):
        codec.read_bitmap(bits + b"\0", size, "it")
    if size % 8:
        with pytest.raises(RefusedError):
            codec.read_bitmap(bits[:-1] + bytes([bits[-1] | 0x80]), size, "it")


def test_diaries_are_read_strictly() -> None:
    roster, replay_guard = World.of(3).roster, ReplayGuard()
    replay_guard.masked(agree(roster, run="one"), 5)
    replay_guard.masked(agree(roster, run="zwei ü", round=9, attempt=2), 6)
    replay_guard.unmasked(agree(roster, run="one"))
    data = replay_guard.to_bytes()
    assert ReplayGuard.from_bytes(data).to_bytes() == data and ReplayGuard.from_bytes(data) == replay_guard
    for bad in (data[:-1], data + b"\0", b"", data.replace(b"one", b"\xff\xfe\xfd")):
        with pytest.raises(RefusedError):
            ReplayGuard.from_bytes(bad)
    with pytest.raises(RefusedError):
        replay_guard.unmasked(agree(roster, run="one"))
    with pytest.raises(RefusedError):
        replay_guard.unmasked(agree(roster, run="never heard of"))


@pytest.mark.parametrize(
    "change",
    [
        {"run": ""},
        {"run": "x" * 256},
        {"round": -1},
        {"attempt": 256},
        {"length": 0},
        {"rows": 0},
        {"bound": float("nan")},
    ],
)
def test_what_cannot_be_agreed(change: dict[str, object]) -> None:
    with pytest.raises(SumError):
        agree(World.of(3).roster, **change)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 40), bits=st.integers(2, 20), bound=st.floats(0.01, 1e6), data=st.data())
def test_no_sum_of_agreed_vectors_overflows(rows: int, bits: int, bound: float, data: st.DataObject) -> None:
    """Every row at its bound, all of one sign: what is agreed has room, and one bit less would not pass."""
    step = 2.0**-bits * bound
    terms = agree(World.of(3).roster, rows=rows, bound=bound, resolution=step)
    sign = data.draw(st.sampled_from([-1, 1]))
    most = round(bound / step)
    assert -terms.ring.modulus // 2 <= sign * rows * most < terms.ring.modulus // 2
    assert terms.bits == Ring.for_sum(bound, step, rows).bits
    with pytest.raises(SumError):
        replace(terms, bits=terms.bits - 1)


def test_usable_keys() -> None:
    assert keys.usable(keys.mask_pair(bytes(31))[1])
    for bad in (bytes(32), (1).to_bytes(32, "little"), b""):
        assert not keys.usable(bad)
