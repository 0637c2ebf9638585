"""A small federation whose secrets all follow from a number, and a driver that can lose or hold back messages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedrec.secagg.context import Agreed
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.outcome import OpenedSum
from fedrec.secagg.parameters import Assumptions, GraphParameters
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster
from fedrec.secagg.server import ServerRound
from fedrec.secagg.thresholds import Thresholds

NOBODY = Assumptions(corrupt=0, dropout=0, colluding=0)
# Almost half may be missing, which small cohorts need to lose anybody, and none is corrupt.
LENIENT = Assumptions(corrupt=0, dropout=0.45, colluding=0)
EXCHANGES = 6
Vector = NDArray[np.uint64]


def source(label: str) -> Callable[[int], bytes]:
    """A source of bytes that gives the same ones every time. For tests only: whoever knows the label knows them all."""
    state = hashlib.shake_256(b"fedrec test secrets" + label.encode())
    at = 0

    def draw(length: int) -> bytes:
        nonlocal at
        at += length
        return state.digest(at)[-length:] if length else b""

    return draw


def identities(count: int, seed: int = 0) -> list[DeviceIdentity]:
    """In the order of their public ids, so that a list's index is the place in the roster."""
    made = [DeviceIdentity.from_private_bytes(source(f"identity {seed} {at}")(32)) for at in range(count)]
    return sorted(made, key=lambda identity: identity.public)


def agree(roster: Roster, *, length: int = 5, round: int = 1, request: bytes = b"model", **more: object) -> Agreed:
    fields: dict[str, object] = {"run": "test", "bound": 4.0, "resolution": 2.0**-8, "rows": len(roster.devices)}
    fields |= {"seed": hashlib.sha256(b"seed").digest(), "eligible": tuple(range(len(roster.devices))), **more}
    digest = hashlib.sha256(request).digest()
    return Agreed.of(round=round, request=digest, roster=roster.digest, length=length, **fields)  # type: ignore[arg-type]


def complete(count: int) -> GraphParameters:
    """Everybody is everybody's neighbour, with the lowest threshold that devices accept."""
    return GraphParameters(count - 1, (count - 1) // 2 + 1)


@dataclass
class World:
    """Devices, one server, one sum. Devices are named by their place in the roster."""

    devices: list[DeviceIdentity]
    agreed: Agreed
    roster: Roster
    thresholds: Thresholds
    server: ServerRound
    rounds: list[DeviceRound]
    replay_guards: list[ReplayGuard]
    vectors: list[Vector]
    sent: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(EXCHANGES)])

    @classmethod
    def of(
        cls,
        count: int,
        *,
        seed: int = 0,
        thresholds: Thresholds | None = None,
        devices: list[DeviceIdentity] | None = None,
        replay_guards: list[ReplayGuard] | None = None,
        server: type[ServerRound] = ServerRound,
        vectors: list[Vector] | None = None,
        graph: GraphParameters | None = None,
        secrets: str = "",
        **agreed: object,
    ) -> World:
        devices = devices or identities(count, seed)
        roster = Roster.of(device.public for device in devices)
        thresholds = thresholds or Thresholds(cohort=3, survivors=2, assumptions=LENIENT)
        thresholds = replace(thresholds, graph=graph or thresholds.graph or complete(count))
        terms = agree(roster, **agreed)  # type: ignore[arg-type]
        replay_guards = replay_guards or [ReplayGuard() for _ in devices]
        label = secrets or f"{seed} {terms.round} {terms.attempt}"
        rounds = [
            DeviceRound(device, roster, terms, thresholds, replay_guard, now=0, randomness=source(f"{label} {at}"))
            for at, (device, replay_guard) in enumerate(zip(devices, replay_guards, strict=True))
        ]
        if vectors is None:
            draw = np.random.default_rng(seed)
            vectors = [draw.integers(0, terms.ring.modulus, terms.length, dtype=np.uint64) for _ in devices]
        at_server = server(terms, roster, thresholds)
        return cls(devices, terms, roster, thresholds, at_server, rounds, replay_guards, vectors)

    def place(self, public: bytes) -> int:
        return self.roster.place(public)

    def give(self, exchange: int, message: bytes) -> None:
        self.sent[exchange].append(message)
        assert self.server.receive(message) is None

    def advertise(self, who: Iterable[int] | None = None) -> dict[int, bytes]:
        for at in range(len(self.devices)) if who is None else who:
            self.give(0, self.rounds[at].advertise())
        return self._by_place(self.server.close_advertise())

    def share(self, cohorts: dict[int, bytes], gone: Iterable[int] = ()) -> dict[int, bytes]:
        for at in sorted(set(cohorts) - set(gone)):
            self.give(1, self.rounds[at].share(cohorts[at]))
        return self._by_place(self.server.close_share())

    def check_boxes(self, inboxes: dict[int, bytes], gone: Iterable[int] = ()) -> dict[int, bytes]:
        for at in sorted(set(inboxes) - set(gone)):
            self.give(2, self.rounds[at].check(inboxes[at]))
        return self._by_place(self.server.close_check())

    def mask(self, views: dict[int, bytes], gone: Iterable[int] = ()) -> dict[int, bytes]:
        for at in sorted(set(views) - set(gone)):
            self.give(3, self.rounds[at].mask(views[at], self.vectors[at]))
        return self._by_place(self.server.close_masked())

    def confirm(self, lists: dict[int, bytes], gone: Iterable[int] = ()) -> dict[int, bytes]:
        for at in sorted(set(lists) - set(gone)):
            self.give(4, self.rounds[at].confirm(lists[at]))
        return self._by_place(self.server.close_confirm())

    def unmask(self, certificates: dict[int, bytes], gone: Iterable[int] = ()) -> OpenedSum:
        for at in sorted(set(certificates) - set(gone)):
            self.give(5, self.rounds[at].unmask(certificates[at]))
        return self.server.close_unmask()

    def views(self) -> dict[int, bytes]:
        """The first three exchanges, in which everybody takes part."""
        return self.check_boxes(self.share(self.advertise()))

    def run(self, *gone: Iterable[int]) -> OpenedSum:
        """All six exchanges; ``gone``: who drops out before exchanges 2, 4 and 6."""
        lost = [set(part) for part in (*gone, (), (), ())][:3]
        views = self.check_boxes(self.share(self.advertise(), lost[0]))
        return self.unmask(self.confirm(self.mask(views, lost[1])), lost[2])

    def sum(self, who: Iterable[int]) -> Vector:
        total = np.zeros(self.agreed.length, dtype=np.uint64)
        for at in who:
            total += self.vectors[at]
        return total & np.uint64(self.agreed.ring.modulus - 1)

    def check(self, opened: OpenedSum) -> None:
        """The one thing that must always hold: what was opened is the sum of those it says."""
        assert opened.total.dtype == np.uint64
        np.testing.assert_array_equal(opened.total, self.sum(self.place(device) for device in opened.survivors))

    def _by_place(self, messages: dict[bytes, bytes]) -> dict[int, bytes]:
        return {self.place(device): message for device, message in messages.items()}
