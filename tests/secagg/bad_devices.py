"""One secure sum whose devices may do anything in any exchange, with the bytes that they would have sent in hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from secagg_cases import World

from fedrec.secagg.messages import Complaints, Masked, Shares, Signed, Unmask
from fedrec.secagg.outcome import OpenedSum

ADVERTISE, SHARE, CHECK, MASK, CONFIRM, UNMASK = range(6)

# Gives what a device sends in place of the honest message; nothing: it is silent.
Act = Callable[[World, int, bytes], "bytes | None"]
Acts = Mapping[tuple[int, int], Act]


def play(world: World, acts: Acts) -> OpenedSum:
    """All six exchanges. ``acts``: by device and exchange. Whoever does not answer in one is in none that follow."""
    _exchange(world, acts, ADVERTISE, dict.fromkeys(range(len(world.devices)), b""))
    inbox = _exchange(world, acts, SHARE, world.server.close_advertise())
    view = _exchange(world, acts, CHECK, inbox)
    lists = _exchange(world, acts, MASK, view)
    certificates = _exchange(world, acts, CONFIRM, lists)
    _exchange(world, acts, UNMASK, certificates)
    return world.server.close_unmask()


def _exchange(world: World, acts: Acts, exchange: int, messages: Mapping[object, bytes]) -> dict[bytes, bytes]:
    """What each device says to its message, and what the server makes of it; of the last one: nothing."""
    for name, message in messages.items():
        at = name if isinstance(name, int) else world.place(name)  # type: ignore[arg-type]
        honest = _honest(world, at, exchange, message)
        act = acts.get((at, exchange))
        said = honest if act is None else act(world, at, honest)
        if said is not None:
            refused = world.server.receive(said)
            assert act is not None or refused is None, (at, exchange, refused)
    server = world.server
    closes = {SHARE: server.close_share, CHECK: server.close_check, MASK: server.close_masked}
    closes[CONFIRM] = server.close_confirm
    return closes[exchange]() if exchange in closes else {}


def _honest(world: World, at: int, exchange: int, message: bytes) -> bytes:
    device = world.rounds[at]
    if exchange == ADVERTISE:
        return device.advertise()
    if exchange == MASK:
        return device.mask(message, world.vectors[at])
    return {SHARE: device.share, CHECK: device.check, CONFIRM: device.confirm, UNMASK: device.unmask}[exchange](message)


def silent(world: World, at: int, honest: bytes) -> None:
    return None


def garbage(world: World, at: int, honest: bytes) -> bytes:
    """Bytes of the right length that say nothing."""
    return hashlib.shake_256(b"garbage %d" % at).digest(len(honest))


def cut_short(world: World, at: int, honest: bytes) -> bytes:
    return honest[:-1]


def nothing(world: World, at: int, honest: bytes) -> bytes:
    return b""


def somebody_elses(world: World, at: int, honest: bytes) -> bytes:
    """What its neighbour in the roster has sent in this exchange."""
    return next((said for said in reversed(world.sent[0]) if said != honest), b"")


def garbage_boxes(world: World, at: int, honest: bytes) -> bytes:
    """Signed boxes that nobody can open."""
    message = Shares.from_bytes(honest)
    return _signed(world, at, replace(message, boxes=tuple(bytes(len(box)) for box in message.boxes)))


def boxes_that_say_otherwise(world: World, at: int, honest: bytes) -> bytes:
    """Boxes that open, and do not hold what their owner committed itself to: a holder would look like a liar."""
    message = Shares.from_bytes(honest)
    return _signed(world, at, replace(message, boxes=tuple(box[:-32] + bytes(32) for box in message.boxes)))


def false_complaints(world: World, at: int, honest: bytes) -> bytes:
    """That nobody's box opens."""
    message = Complaints.from_bytes(honest, world.server._records.parameters.degree)
    return _signed(world, at, replace(message, slots=frozenset(_there(world, at))))


def empty_vector(world: World, at: int, honest: bytes) -> bytes:
    """A signed vector of another length."""
    return _signed(world, at, replace(Masked.from_bytes(honest), packed=b""))


def false_shares(world: World, at: int, honest: bytes) -> bytes:
    """Signed shares that it was never dealt."""
    message = Unmask.from_bytes(honest, world.server._records.parameters.degree)
    lies = tuple(b"\0" + hashlib.sha256(share).digest()[1:] for share in message.shares)
    return _signed(world, at, replace(message, shares=lies))


def _there(world: World, at: int) -> list[int]:
    records = world.server._records
    return records.slots(records.assignment.place(at), records.sharers)


def _signed(world: World, at: int, message: Signed) -> bytes:
    return message.signed(world.devices[at]).to_bytes()
