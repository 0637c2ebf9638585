"""The one secure sum that a device is in the middle of, as it waits in the device's store between two exchanges."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fedrec.data.store import EventStore
from fedrec.errors import ProtocolError
from fedrec.queries.secure_wire import Invitation
from fedrec.queries.wire import Part
from fedrec.secagg.replay_guard import ReplayGuard

_PENDING: Final = "secagg pending"
_ASKED: Final = "secagg asked"
_DIARY: Final = "secagg replay guard"


@dataclass(frozen=True)
class PendingRound:
    """``roster``: digest of the roster it began with.  ``state``: `DeviceRound.to_state`, with the round's secrets."""

    run: str
    invitation: Invitation
    roster: bytes
    state: bytes

    def __repr__(self) -> str:
        return f"Pending({self.run!r})"


def load_pending(store: EventStore, run: str) -> PendingRound:
    """What `begin` and `keep` wrote. Raises ProtocolError where this device is in no sum of this run."""
    asked, state = store.get_setting(_ASKED), store.get_setting(_PENDING)
    known = None if asked is None else _invitation(asked)
    if known is None or state is None or json.loads(state) is None or known[0] != run:
        raise ProtocolError("this device is in the middle of no sum of this run", value=run)
    return PendingRound(run, known[1], known[2], base64.b64decode(json.loads(state)))


# Read again for each message, and the same for all devices of a simulation.
@lru_cache(maxsize=2)
def _invitation(asked: str) -> tuple[str, Invitation, bytes] | None:
    """The run, what is asked, and the roster's digest, as `begin` wrote them; None where that sum is over."""
    tree = json.loads(asked)
    if tree is None:
        return None
    parts = {
        name: Part(dtype, tuple(shape), base64.b64decode(data)) for name, (dtype, shape, data) in tree["parts"].items()
    }
    return tree["run"], Invitation.read(tree["fields"], parts), bytes.fromhex(tree["roster"])


def begin(store: EventStore, pending: PendingRound) -> None:
    """Keep a sum that begins; one that this device was in the middle of is over for it, and its secrets are erased."""
    parts = {
        name: (part.dtype, part.shape, base64.b64encode(part.data).decode())
        for name, part in pending.invitation.parts().items()
    }
    tree = {
        "run": pending.run,
        "fields": pending.invitation.fields(),
        "parts": parts,
        "roster": pending.roster.hex(),
    }
    store.set_setting(_ASKED, json.dumps(tree, separators=(",", ":")))
    keep(store, pending.state)


def keep(store: EventStore, state: bytes | None) -> None:
    """Keep how far the sum has got; None: it is over, and nothing of it stays."""
    if state is None:
        store.set_setting(_ASKED, "null")
    store.set_setting(_PENDING, json.dumps(None if state is None else base64.b64encode(state).decode()))


def in_a_sum(store: EventStore) -> bool:
    """Whether the device is in the middle of one."""
    return json.loads(store.get_setting(_ASKED) or "null") is not None


def progress(store: EventStore) -> tuple[str | None, ...]:
    """How far the device is, in the sum that it is in the middle of and in all: two that are equal are the same."""
    return tuple(store.get_setting(name) for name in (_ASKED, _PENDING, _DIARY))


def load_replay_guard(store: EventStore) -> ReplayGuard:
    """The sums that this device took part in. Raises ProtocolError where the record is damaged."""
    kept = store.get_setting(_DIARY)
    return ReplayGuard() if kept is None else ReplayGuard.from_bytes(bytes.fromhex(json.loads(kept)))


def save_replay_guard(store: EventStore, replay_guard: ReplayGuard) -> None:
    """Keep it, before the message that it speaks of leaves."""
    store.set_setting(_DIARY, json.dumps(replay_guard.to_bytes().hex()))
