"""What a server that departs from the protocol can do: it holds messages, opens what it can, and forges the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pytest import MonkeyPatch
from secagg_cases import Vector, World

from fedrec.secagg import bits, device, keys
from fedrec.secagg.errors import RefusedError
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.masks import add_masks, word_type
from fedrec.secagg.messages import Confirm, Masked, Unmask
from fedrec.secagg.server_messages import Certificate, Survivors


class Ledger:
    """What a server learns of one sum: graph, masked vectors, receipts. Devices by their place in the cohort."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.graph: NeighbourGraph = world.server._records.graph
        self.records = world.server._records
        self.masked: dict[int, Masked] = {}

    @property
    def threshold(self) -> int:
        return self.records.parameters.threshold

    def load_population(self, views: Mapping[int, bytes]) -> None:
        """Have every device mask its vector."""
        for at, message in views.items():
            self.masked[at] = Masked.from_bytes(self.world.rounds[at].mask(message, self.world.vectors[at]))

    def vector(self, at: int) -> NDArray[np.uint64]:
        agreed = self.world.agreed
        return bits.unpack(self.masked[at].packed, agreed.length, agreed.bits).astype(np.uint64)

    def signatures(self, lists: Mapping[int, Iterable[int]]) -> dict[frozenset[int], dict[int, bytes]]:
        """What the committee signs if each device of it is shown this list: by list and signer."""
        found: dict[frozenset[int], dict[int, bytes]] = {}
        for at in sorted(set(lists) & self.records.committee):
            shown = frozenset(lists[at])
            message = Survivors(self.masked[at].view, len(self.world.devices), shown).to_bytes()
            try:
                signed = Confirm.from_bytes(self.world.rounds[at].confirm(message))
            except RefusedError:
                continue
            found.setdefault(shown, {})[at] = signed.signature
        return found

    def certificate(self, at: int, alive: Iterable[int], signatures: Mapping[int, bytes] | None = None) -> bytes:
        """A list of survivors as it pleases the server, for one device; with the true receipts.

        ``signatures``: by signer; the first so many as make a quorum are shown.
        """
        shown = frozenset(alive)
        receipts = []
        for slot, neighbour in enumerate(self.records.neighbours[at]):
            if neighbour in shown:
                given = dict(zip(self.slots(neighbour), self.masked[neighbour].receipts, strict=True))
                receipts.append(given[self.graph.back(slot)])
        signers = sorted(signatures or {})[: self.records.assignment.quorum]
        signed = frozenset(signers), tuple((signatures or {})[place] for place in signers)
        view, size = self.masked[at].view, len(self.world.devices)
        return Certificate(view, size, shown, *signed, tuple(receipts)).to_bytes()

    def slots(self, at: int) -> list[int]:
        return self.records.slots(at, self.records.members)

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
            for near in self.records.there(at, self.records.members)
        ]
        add_masks(total, signed, ring)
        return total.astype(np.uint64)


Harvest = dict[int, dict[int, bytes]]


def harvest(
    ledger: Ledger,
    lists: Mapping[int, Iterable[int]],
    *,
    certificate: Callable[[Ledger, int, Iterable[int]], bytes] | None = None,
) -> tuple[Harvest, Harvest]:
    """Show each device its own list of survivors and read all answers, of those devices that answer.

    The committee is shown the same lists first, and what it signs is used.  ``certificate``: writes a device's list
    in place of that.

    Returns the shares of own masks and of mask keys: owner -> point -> share.
    """
    signatures = {} if certificate else ledger.signatures(lists)
    own: Harvest = {}
    lost: Harvest = {}
    for at, alive in lists.items():
        shown = frozenset(alive)
        write = certificate or (lambda ledger, at, alive: ledger.certificate(at, alive, signatures.get(alive, {})))
        try:
            message = ledger.world.rounds[at].unmask(write(ledger, at, shown))
        except RefusedError:
            continue
        answer = Unmask.from_bytes(message, ledger.graph.degree)
        for slot, share in zip(sorted(answer.slots), answer.shares, strict=True):
            owner = ledger.records.neighbours[at][slot]
            into = own if owner in shown else lost
            into.setdefault(owner, {})[ledger.graph.back(slot) + 1] = share
    return own, lost


def no_quorum(monkeypatch: MonkeyPatch) -> None:
    """Switch the agreement on one list off: devices believe whatever list they are shown."""
    monkeypatch.setattr(device, "check_quorum", lambda *arguments: None)


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


def with_view(world: World, views: dict[int, bytes], at: int, members: Iterable[int]) -> dict[int, bytes]:
    """The same views, but for one device that is told of these members only."""
    from fedrec.secagg.server_messages import View

    read = View.from_bytes(views[at], len(world.devices))
    return views | {at: replace(read, members=frozenset(members)).to_bytes()}
