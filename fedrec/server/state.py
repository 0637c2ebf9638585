"""What a server must not forget, so that a run goes on: noisy answers, parameters and the optimiser, in one file.

Sums are written here with their noise only. A pending one may be used only once the ledger has its row.
The run's secret key is here while training lasts (see `fedrec.server.keys`), so the file is its owner's alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from fedrec import randomness
from fedrec.errors import StoreError
from fedrec.sqlite_errors import SQLITE_ERRORS
from fedrec.whole_files import create_private

_SCHEMA = 4


@dataclass(frozen=True, eq=False)
class UnchargedSum:
    """A noisy sum that may not be charged yet, and how it was come by.

    ``asked``, ``devices``: how many were asked, and survived.  ``bytes_up``: what they sent, in all.
    ``participations``: see `fedrec.server.participation`.
    """

    noisy: NDArray[np.float64]
    asked: int = 0
    devices: int = 0
    bytes_up: int = 0
    participations: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))


class ServerState:
    """The durable state of one run. ``run`` identifies it: a state of another run's settings is refused.

    Raises:
        StoreError: the file is damaged, of another version, or of another run.
    """

    def __init__(self, path: Path | None, run: str) -> None:
        if path is not None and not path.exists():
            create_private(path)
        self._connection = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        try:
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA secure_delete=ON")
            self._connection.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
            kept = self._get("run")
        except SQLITE_ERRORS as error:
            raise StoreError(f"the server's state cannot be read: {error}", value=str(path)) from None
        wanted = json.dumps({"schema": _SCHEMA, "run": run}).encode()
        self._resumed = kept is not None
        if kept is None:
            self._put("run", wanted)
        elif kept != wanted:
            self._connection.close()
            raise StoreError(
                "the server's state is of a run with other settings or data",
                value=str(path),
                action="Use another --out directory",
            )

    def __enter__(self) -> ServerState:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def resumed(self) -> bool:
        """Whether the state was there before, even if nothing was kept in it yet."""
        return self._resumed

    @property
    def begun(self) -> bool:
        """Whether anything was kept yet, but for the secret, frozen parts, exclusions and a sum that is not charged."""
        found = self._connection.execute(
            "SELECT 1 FROM state "
            "WHERE name NOT IN ('run', 'secret', 'pending', 'frozen', 'attempts', 'exclusions') LIMIT 1"
        )
        return found.fetchone() is not None

    def secret(self) -> bytes:
        """The run's secret key, 32 bytes; drawn and kept, durably, when first asked for."""
        kept = self._get("secret")
        if kept is None:
            kept = randomness.fresh_key()
            self._put("secret", kept)
        return kept

    def forget_secret(self) -> None:
        """Overwrite the secret, once nothing more is derived from it."""
        self._execute("DELETE FROM state WHERE name = 'secret'")

    def save_answer(self, query: str, noisy: NDArray[np.float64]) -> None:
        """Keep the noisy answer to a round, ``query/round``."""
        self._put(f"answer/{query}", save({"noisy": noisy}))

    def load_answer(self, query: str) -> NDArray[np.float64] | None:
        """The kept answer, or None."""
        kept = self._get(f"answer/{query}")
        return None if kept is None else np.asarray(load(kept)["noisy"])

    def save_pending(self, name: str, pending: UnchargedSum) -> None:
        """Keep the noisy sum that is about to be charged, in place of the last one."""
        arrays: dict[str, NDArray[Any]] = {
            f"noisy/{name}": pending.noisy,
            "counts": np.array([pending.asked, pending.devices, pending.bytes_up], np.int64),
            "participations": pending.participations,
        }
        self._put("pending", save(arrays))

    def load_pending(self, name: str) -> UnchargedSum | None:
        """The noisy sum of this name if it was the last one to be kept, else None."""
        kept = self._get("pending")
        found = {} if kept is None else load(kept)
        if f"noisy/{name}" not in found:
            return None
        asked, devices, bytes_up = (int(count) for count in found["counts"])
        return UnchargedSum(np.asarray(found[f"noisy/{name}"]), asked, devices, bytes_up, found["participations"])

    def load_participations(self) -> NDArray[np.int32] | None:
        """The participations that were kept last, or None."""
        kept = self._get("pending")
        participations = None if kept is None else load(kept)["participations"]
        return participations if participations is not None and len(participations) else None

    def save_checkpoint(self, query: str, number: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what a query knows after round ``number``, in one transaction."""
        self._put(
            f"checkpoint/{query}", save({**{f"kept/{k}": v for k, v in arrays.items()}, "round": np.array([number])})
        )

    def load_checkpoint(self, query: str) -> dict[str, NDArray[Any]] | None:
        """What `save_checkpoint` kept last; None at the start of a run."""
        kept = self._get(f"checkpoint/{query}")
        if kept is None:
            return None
        return {name.removeprefix("kept/"): array for name, array in load(kept).items() if name.startswith("kept/")}

    def last_checkpoint(self, query: str) -> int:
        """The round of the last checkpoint; -1 at the start of a run."""
        kept = self._get(f"checkpoint/{query}")
        return -1 if kept is None else int(load(kept)["round"][0])

    def pinned(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """An array as the run began with it; kept when it is first asked for.

        Raises:
            StoreError: another shape was kept.
        """
        if not len(array):
            return array
        kept = self._get(name)
        if kept is None:
            self._put(name, save({name: array}))
            return array
        found = load(kept)[name]
        if found.shape != array.shape:
            raise StoreError("the server's state holds parameters of another model", value=found.shape)
        return np.asarray(found)

    def save_attempts(self, data: bytes) -> None:
        """Keep how often the sum was asked for that the run is at (`fedrec.server.attempts`)."""
        self._put("attempts", data)

    def load_attempts(self) -> bytes | None:
        """What `save_attempts` kept last, or None."""
        return self._get("attempts")

    def save_exclusions(self, data: bytes) -> None:
        """Keep which devices the run leaves out (`fedrec.server.exclusions`)."""
        self._put("exclusions", data)

    def load_exclusions(self) -> bytes | None:
        """What `save_exclusions` kept last, or None."""
        return self._get("exclusions")

    def _put(self, name: str, value: bytes) -> None:
        self._execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def _get(self, name: str) -> bytes | None:
        found = self._connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])

    def _execute(self, statement: str, values: tuple[str | bytes, ...] = ()) -> None:
        """Run a statement that writes, whole or not at all. Raises StoreError where the disk is full or refuses."""
        try:
            self._connection.execute(statement, values)
        except SQLITE_ERRORS as error:
            action = "Make room on the disk; then start the run again with the same directory, and it goes on"
            raise StoreError(f"the server's state cannot be written: {error}", action=action) from None
