"""What a run asks of its devices, what it shows after each opened sum, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.privacy.accountant import QueryCost
from fedrec.queries.request import Request
from fedrec.server.aggregation_failed import AGGREGATION_FAILED
from fedrec.server.attempts import AttemptCounter
from fedrec.server.exclusions import Exclusions

if TYPE_CHECKING:
    from fedrec.model.recommender import Recommender


@dataclass(frozen=True)
class AggregateResult:
    """An opened private sum, before noise and as `PrivateSum.open` gives it: on its grid, rotated where it is.

    ``devices``: survivors.  ``bytes_up``: what they sent for it, in all.

    ``aborted``: attempts before it that gave no sum, by reason.  ``excluded``: devices that the run leaves out for what
    they did, by what it was (`fedrec.server.exclusions`).  ``reason``: why the sum is over nobody, if it had to
    be, or `fedrec.server.aggregation_failed.AGGREGATION_FAILED`.
    """

    vector: NDArray[np.float64]
    devices: int
    bytes_up: int
    aborted: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)


def bytes_up_each(request: Request, opened: AggregateResult) -> int:
    """What one device sent for a sum, in bytes; of a sum over nobody, what its contribution alone would take.

    Of one that failed: 0, since nobody counts what was sent in vain.
    """
    if opened.reason == AGGREGATION_FAILED:
        return 0
    return -(-opened.bytes_up // opened.devices) if opened.devices else request.sum.bytes_up


class Devices(Protocol):
    """How a run reaches its devices."""

    @property
    def users(self) -> int:
        """How many users the roster stands for."""

    @property
    def size(self) -> int:
        """How many devices there are."""

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """Put a request to the devices at these places and open the sum over those who answer.

        Raises:
            AggregationFailedError: every attempt at it failed.
        """


@runtime_checkable
class PubliclyDrawnDevices(Protocol):
    """Devices that recompute who is asked (`fedrec.queries.cohorts`); a place is a place of their roster."""

    @property
    def cohort_key(self) -> bytes:
        """What cohorts follow from, 32 bytes, public."""


@runtime_checkable
class AttemptingDevices(Protocol):
    """Devices that are asked in attempts, whose numbers must outlive the server's process."""

    attempts: AttemptCounter


@runtime_checkable
class ExcludingDevices(Protocol):
    """Devices of which some may be left out for what they did."""

    exclusions: Exclusions


@runtime_checkable
class MaskedDevices(Devices, Protocol):
    """Devices that are asked in steps, of which the first ones open nothing, and which may be asked again.

    ``before_masking``: is called in each attempt, before devices are asked for what opens the sum.  What it raises
    ends the request.
    """

    before_masking: Callable[[], None]


@dataclass(frozen=True)
class RoundEvent:
    """What an observer is shown after each opened sum, and of one that failed.

    ``model`` and ``collaborative`` are what is known so far, ``features`` what the model reads.  ``noisy``: the sum
    with its noise, float64 [request.sum.length], which the run goes on with and its ledger covers; empty where it
    failed.
    """

    request: Request
    seconds: float
    opened: AggregateResult
    cohort: int
    epsilon_spent: float | None
    model: Recommender | None
    collaborative: CollaborativeFactors
    features: Features
    noisy: NDArray[np.float64]


Observer = Callable[[RoundEvent], None]


@dataclass(frozen=True)
class RunResult:
    """What a run leaves.

    ``config``: the settings, with what the devices chose where they were asked: what the release has, and what it ranks
    with.
    ``features``: the catalogue's, as the model reads them and a release holds them.  ``results``: what each query's
    `decode` gave last.  ``stopped``: why it ended before
    its last round, or None.  ``ledger``: head and number of rows of the ledger as the release leaves it, and the users
    it was planned for.  ``accounting_seconds``: spent on planning, composing and writing the ledger.  ``validation``:
    what `EarlyStopping.facts` says.
    """

    config: Config
    model: Recommender | None
    collaborative: CollaborativeFactors
    costs: tuple[QueryCost, ...]
    features: Features
    results: Mapping[str, Any] = field(default_factory=dict)
    stopped: str | None = None
    ledger: Mapping[str, Any] = field(default_factory=dict)
    accounting_seconds: float = 0.0
    validation: Mapping[str, Any] | None = None
