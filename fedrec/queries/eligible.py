"""Who a secure sum is asked of, and the randomness that decides who neighbours whom: known before a server speaks."""

from __future__ import annotations

import hashlib

from fedrec.config import Config
from fedrec.privacy.run_plan import share_of
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request


def eligible_places(config: Config, request: Request, devices: int) -> tuple[int, ...] | None:
    """The places in a roster of ``devices`` that a request is put to, by these settings.

    `None` where the settings sample a cohort that the server draws with a key of its own.
    """
    if QUERIES[request.query].sampled and share_of(config, devices) < 1:
        return None
    return tuple(range(devices))


def seed_of_roster(digest: bytes) -> bytes:
    """A public seed of 32 bytes, from `Roster.digest`: nobody chose it who did not choose the whole roster."""
    return hashlib.sha256(b"fedrec seed of a roster" + digest).digest()
