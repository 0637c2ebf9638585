"""A row of a device's ledger: one answer, who was to make it private, and what it cost the device."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost

NoiseBy = Literal["devices", "device", "server", "none"]
FORMAT: Final = 2


@dataclass(frozen=True)
class Agreement:
    """What a device agreed to.

    ``key``: names what was agreed, and nothing that a server says.  ``epsilon``, ``delta``: all that is given under it
    costs so much at most; ``epsilon`` None = the settings promise nothing.
    """

    key: str
    epsilon: float | None
    delta: float


@dataclass(frozen=True)
class DeviceLedgerEntry:
    """One answer.

    Args:
        agreement, epsilon, delta: the `Agreement` that it was given under.
        run, query, round: what was answered.
        noise: who was to make it private. ``devices``: a share of this device's and of others', which this device
            knows.  ``device``: this device alone.  ``server``: the server said that it would; the cost is its word.
            ``none``: nobody.
        cost: what one such release costs the device; None without noise.
        releases: how many of them are charged with this row: the steps of a round with noise of the device alone; with
            a secret sample, all planned rounds with the first row, and none with the next.
        planned: rounds that the settings plan, where the noise is the server's; else 0.
        time: seconds since 1970.
    """

    agreement: str
    epsilon: float | None
    delta: float
    run: str
    query: str
    round: int
    noise: NoiseBy
    cost: QueryCost | None
    releases: int
    planned: int
    time: int

    @classmethod
    def under(
        cls,
        agreement: Agreement,
        run: str,
        query: str,
        round: int,
        noise: NoiseBy,
        cost: QueryCost | None,
        *,
        releases: int = 1,
        planned: int = 0,
    ) -> DeviceLedgerEntry:
        """A row of now, under an agreement."""
        promised = (agreement.key, agreement.epsilon, agreement.delta)
        return cls(*promised, run, query, round, noise, cost, releases, planned, int(time.time()))

    def to_tree(self) -> dict[str, Any]:
        """As JSON; read back by `from_tree`."""
        return {"format": FORMAT, **asdict(self), "cost": None if self.cost is None else self.cost.facts}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> DeviceLedgerEntry:
        """The inverse of `to_tree`. Raises PrivacyError for a row of another version, or one that is none."""
        fields = dict(tree)
        if fields.pop("format", None) != FORMAT:
            action = "Read it with the version of fedrec that wrote it, or begin with a new store"
            raise PrivacyError("a row of the device's ledger is of another version", action=action)
        try:
            cost = fields.pop("cost")
            return cls(**fields, cost=None if cost is None else QueryCost(**cost))
        except (TypeError, KeyError) as error:
            raise PrivacyError(f"a row of the device's ledger cannot be read: {error}") from None


def canonical(tree: Any) -> str:
    """JSON in one form only, so that equal trees have equal hashes."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"))


def digest(tree: Any) -> str:
    """SHA-256 in hex of a tree of JSON."""
    return hashlib.sha256(canonical(tree).encode()).hexdigest()


def link(previous: str, body: str) -> str:
    """The hash of a row whose text is ``body``, after one whose hash is ``previous``."""
    return hashlib.sha256(f"{previous}{body}".encode()).hexdigest()
