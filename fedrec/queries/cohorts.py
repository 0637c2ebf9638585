"""Cohorts that follow from public randomness: which places of a roster take part in which training round.

With a fixed size or dealt in turn, who is asked hangs on nothing but a public key, the round and how many devices there
are.  Each device computes it for itself, so a server cannot pick a cohort around somebody.  No amplification by
sampling is claimed of such cohorts, since anybody can compute them (`training.secret_cohorts`); those that a server
draws in secret are `fedrec.server.sampling`'s alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.config import Config
from fedrec.privacy.run_plan import minimum_separation_of, share_of
from fedrec.queries.registry import QUERIES

if TYPE_CHECKING:
    from fedrec.queries.request import Request
    from fedrec.queries.run_manifest import RunManifest


def are_public(config: Config) -> bool:
    """Whether these settings draw cohorts that devices can recompute."""
    kind = config.training.sampling
    return kind in ("full", "cyclic") or (kind == "fixed" and not config.training.secret_cohorts)


def cohort_key(config: Config, manifest: RunManifest | None) -> bytes:
    """The public key, 32 bytes, that cohorts follow from. ``manifest``: of the run; without one it is a simulation."""
    return randomness.key(config.run.seed, "cohorts") if manifest is None else manifest.cohort_key


def fixed_cohort(key: bytes, devices: int, size: int, number: int) -> list[int]:
    """``size`` of ``devices`` places, ascending, drawn for round ``number`` without replacement."""
    return sorted(int(place) for place in _order(key, devices, number)[:size])


def cyclic_cohort(key: bytes, devices: int, groups: int, number: int) -> list[int]:
    """The places, ascending, of the group that is next in round ``number``, from 1; all were dealt once."""
    return sorted(int(place) for place in _order(key, devices, 0)[(number - 1) % groups :: groups])


def public_cohort(config: Config, request: Request, devices: int, key: bytes) -> tuple[int, ...] | None:
    """The places, ascending, that a request is put to.

    Args:
        config: the run's settings.
        request: what is asked; only training rounds are put to cohorts.
        devices: how many the roster lists.
        key: see `cohort_key`.

    Returns:
        All of them where the query is put to everybody; None where the server draws the cohort in secret.
    """
    share = share_of(config, devices)
    if not QUERIES[request.query].sampled or share == 1.0:
        return tuple(range(devices))
    if not are_public(config):
        return None
    if config.training.sampling == "cyclic":
        return tuple(cyclic_cohort(key, devices, minimum_separation_of(config, devices), request.round))
    return tuple(fixed_cohort(key, devices, max(1, round(share * devices)), request.round))


def drawn(key: bytes, devices: int, number: int) -> NDArray[np.uint64]:
    """64 pseudo-random bits for each place in round ``number``; uint64 [devices]."""
    places = np.arange(devices, dtype=np.uint64)
    return randomness.prf_uint64(key, places, np.full(devices, number, np.uint64))


def _order(key: bytes, devices: int, number: int) -> NDArray[np.int64]:
    # Sorting by pseudo-random numbers is a uniform order; two equal ones (chance n^2 2^-65) keep theirs.
    return np.argsort(drawn(key, devices, number), kind="stable")
