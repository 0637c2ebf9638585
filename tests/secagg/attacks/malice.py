"""What a server that departs from the protocol can do: it holds messages, opens what it can, and forges the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from pytest import MonkeyPatch
from secagg_cases import Vector, World

from fedrec.secagg import bits, keys
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.masks import add_masks, word_type
from fedrec.secagg.messages import Masked, Survivors, Unmask
from fedrec.secagg.sealed_shares import TAG_BYTES
from fedrec.secagg.shamir import SHARE_BYTES, combine


class Ledger:
    """What a server learns of one sum: graph, masked vectors, receipts. Devices by their place in the cohort."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.graph: NeighbourGraph = world.server._graph()
        self.records = world.server._records
        self.masked: dict[int, Masked] = {}

    def load_population(self, inboxes: Mapping[int, bytes]) -> None:
        """Have every device mask its vector."""
        for at, message in inboxes.items():
            self.masked[at] = Masked.from_bytes(self.world.rounds[at].mask(message, self.world.vectors[at]))

    def vector(self, at: int) -> NDArray[np.uint64]:
        agreed = self.world.agreed
        return bits.unpack(self.masked[at].packed, agreed.length, agreed.bits).astype(np.uint64)

    def survivors(self, at: int, alive: Iterable[int]) -> bytes:
        """A list of survivors as it pleases the server, for one device; with the true receipts."""
        shown = frozenset(alive)
        receipts = []
        for slot, neighbour in enumerate(self.records.neighbours[at]):
            if neighbour in shown:
                given = dict(zip(self.slots(neighbour), self.masked[neighbour].receipts, strict=True))
                receipts.append(given[self.graph.back(slot)])
        view = self.masked[at].view
        return Survivors(view, len(self.world.devices), shown, tuple(receipts)).to_bytes()

    def slots(self, at: int) -> list[int]:
        return self.records.slots(at, self.records.sharers)

    def strip(self, at: int, vector: Vector, own: bytes, lost: Mapping[int, bytes]) -> Vector:
        """A masked vector without the device's own mask, and without those of neighbours whose seeds are known."""
        ring, view = self.world.agreed.ring, self.masked[at].view
        signed = [(keys.own_mask_key(own, view), -1)]
        for neighbour, seed in lost.items():
            private, public = keys.mask_pair(seed)
            key = keys.mask_key(private, public, self.records.mask_keys[at], view)
            signed.append((key, -keys.sign(at, neighbour)))
        total = vector.astype(word_type(ring))
        add_masks(total, signed, ring)
        return total.astype(np.uint64)

    def bare(self, at: int, own: bytes, seed: bytes) -> Vector:
        """A device's vector, by the seeds of its own mask and of its mask key: that one gives all its pair masks."""
        ring, view = self.world.agreed.ring, self.masked[at].view
        private, public = keys.mask_pair(seed)
        total = self.strip(at, self.vector(at), own, {}).astype(word_type(ring))
        signed = [
            (keys.mask_key(private, public, self.records.mask_keys[near], view), -keys.sign(at, near))
            for near in self.records.neighbours[at]
        ]
        add_masks(total, signed, ring)
        return total.astype(np.uint64)


def cut(opened: bytes) -> list[bytes]:
    """Shares, one after the other."""
    return [opened[at : at + SHARE_BYTES] for at in range(0, len(opened), SHARE_BYTES)]


Harvest = dict[int, dict[int, bytes]]


def harvest(
    ledger: Ledger,
    lists: Mapping[int, Iterable[int]],
    *,
    gates: bool,
    survivors: Callable[[Ledger, int, Iterable[int]], bytes] = Ledger.survivors,
) -> tuple[Harvest, Harvest]:
    """Show each device its own list of survivors and read all answers that can be read.

    Returns the shares of own masks and of mask keys: owner -> point -> share.  ``gates=False``: devices are patched to
    seal nothing (see `no_gates`).  ``survivors``: writes a device's list.
    """
    threshold, answers = ledger.records.threshold, {}
    for at, alive in lists.items():
        message = ledger.world.rounds[at].unmask(survivors(ledger, at, alive))
        answers[at] = Unmask.from_bytes(message, ledger.graph.degree)
    gate_shares: Harvest = {}
    for at, answer in answers.items():
        said = [slot for slot in sorted(answer.slots) if ledger.records.neighbours[at][slot] in set(lists[at])]
        for slot, share in zip(said, answer.gates, strict=True):
            gate_shares.setdefault(ledger.records.neighbours[at][slot], {})[ledger.graph.back(slot) + 1] = share
    own: Harvest = {}
    lost: Harvest = {}
    for at, answer in answers.items():
        opened = answer.sealed[:-TAG_BYTES]
        if gates:
            shares = gate_shares.get(at, {})
            if len(shares) < threshold:
                continue
            opened = keys.open_gate(combine(shares, threshold), ledger.records.ids[at], answer.view, answer.sealed)
        for slot, share in zip(sorted(answer.slots), cut(opened), strict=True):
            owner = ledger.records.neighbours[at][slot]
            into = own if owner in set(lists[at]) else lost
            into.setdefault(owner, {})[ledger.graph.back(slot) + 1] = share
    return own, lost


def no_gates(monkeypatch: MonkeyPatch) -> None:
    """Switch the gates off: answers travel as they are."""
    monkeypatch.setattr(keys, "close_gate", lambda seed, device, view, plaintext: plaintext + bytes(TAG_BYTES))


def spread(wanted: Mapping[int, Iterable[int]], each: int, capacity: int) -> dict[int, set[int]]:
    """Give each of ``wanted`` that many of its possible helpers, none of whom helps more than ``capacity``.

    Returns helper -> whom it helps. Augmenting paths; fails the test if there is no such assignment.
    """
    helping: dict[int, set[int]] = {}
    options = {owner: list(helpers) for owner, helpers in wanted.items()}

    def find(owner: int, tried: set[int]) -> bool:
        for helper in options[owner]:
            load = helping.setdefault(helper, set())
            if helper in tried or owner in load:
                continue
            tried.add(helper)
            if len(load) < capacity:
                load.add(owner)
                return True
            for other in sorted(load):
                if find(other, tried):
                    load.remove(other)
                    load.add(owner)
                    return True
        return False

    for owner in options:
        for _ in range(each):
            assert find(owner, set()), "the attack itself is not possible with these numbers"
    return helping
