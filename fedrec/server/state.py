"""What a server must not forget, so that a run goes on: noisy answers, parameters and the optimiser, in one file.

Sums are written here with their noise only. A pending one may be used only once the ledger has its row.
The run's secret key is here while training lasts (see `fedrec.server.keys`), so the file is its owner's alone.
"""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from fedrec import randomness
from fedrec.errors import StoreError
from fedrec.queries.optimisers import Optimiser

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
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        try:
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA secure_delete=ON")
            self._connection.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
            kept = self._get("run")
        except sqlite3.DatabaseError as error:
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
        """Whether anything was kept yet, but for the secret, the model's frozen parts and a sum that is not charged."""
        found = self._connection.execute(
            "SELECT 1 FROM state WHERE name NOT IN ('run', 'secret', 'pending', 'frozen') LIMIT 1"
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
        self._connection.execute("DELETE FROM state WHERE name = 'secret'")

    def save_answer(self, query: str, noisy: NDArray[np.float64]) -> None:
        """Keep the noisy answer to a query that is asked once."""
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
        """The turns that were kept last, or None."""
        kept = self._get("pending")
        participations = None if kept is None else load(kept)["participations"]
        return participations if participations is not None and len(participations) else None

    def save_training(self, number: int, values: NDArray[np.float64], optimiser: Optimiser, clip: float) -> None:
        """Keep parameters, optimiser and the next round's clip after round ``number``, in one transaction."""
        arrays = {"values": values, "at": np.array([number, optimiser.steps], np.int64), "clip": np.array([clip])}
        self._put("training", save(arrays | {f"moment/{name}": value for name, value in optimiser.moments.items()}))

    def load_training(
        self, values: NDArray[np.float64], optimiser: Optimiser, clip: float
    ) -> tuple[int, NDArray[np.float64], Optimiser, float]:
        """The last finished round with what `save_training` kept; (0, as given) at the start of a run."""
        kept = self._get("training")
        if kept is None:
            return 0, values, optimiser, clip
        arrays = load(kept)
        if arrays["values"].shape != values.shape:
            raise StoreError("the server's state holds parameters of another model", value=arrays["values"].shape)
        number, optimiser.steps = (int(n) for n in arrays["at"])
        optimiser.moments = {
            name.removeprefix("moment/"): value for name, value in arrays.items() if name.startswith("moment/")
        }
        return number, arrays["values"], optimiser, float(arrays["clip"][0])

    def save_validation(self, measures: list[float], best: NDArray[np.float64]) -> None:
        """Keep what was measured so far, and the best parameters, in one transaction."""
        self._put("validation", save({"measures": np.array(measures, np.float64), "best": best}))

    def load_validation(self) -> tuple[list[float], NDArray[np.float64]]:
        """What `save_validation` kept last; nothing at the start of a run."""
        kept = self._get("validation")
        if kept is None:
            return [], np.zeros(0)
        arrays = load(kept)
        return [float(measure) for measure in arrays["measures"]], arrays["best"]

    def load_frozen(self, frozen: NDArray[np.float32]) -> NDArray[np.float32]:
        """The parts of the model that are not trained as the run began with them; kept when first asked for.

        They come out of a decomposition, whose last digits and signs may differ from one machine to the next.
        """
        if not len(frozen):
            return frozen
        kept = self._get("frozen")
        if kept is None:
            self._put("frozen", save({"frozen": frozen}))
            return frozen
        found = load(kept)["frozen"]
        if found.shape != frozen.shape:
            raise StoreError("the server's state holds parameters of another model", value=found.shape)
        return np.asarray(found)

    def _put(self, name: str, value: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def _get(self, name: str) -> bytes | None:
        found = self._connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])
