"""What the server's side of a round says of itself: where it stands, what it turned down, what it opened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fedrec.secagg.errors import Reason


class Phase(IntEnum):
    """Which exchange is open."""

    ADVERTISE = 1
    SHARE = 2
    CHECK = 3
    MASK = 4
    CONFIRM = 5
    UNMASK = 6
    CLOSED = 7


@dataclass(frozen=True)
class RefusedMessage:
    """A message that was turned down. ``device``: who signed it, or `None` where that is not proved."""

    phase: Phase
    reason: Reason
    device: bytes | None


@dataclass(frozen=True)
class OpenedSum:
    """``total``: uint64 ring elements [length], and whose vectors are in it (public ids)."""

    total: NDArray[np.uint64]
    survivors: tuple[bytes, ...]
