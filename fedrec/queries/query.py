"""A query, the unit of the system: what is summed over devices, what it costs, and what is made of the sum.

A query has two halves.  This is the shared one: server and devices both read it.  It says when a config asks the query,
which request that leads to, what a device holds a request to, what an answer costs, and what the server makes of the
opened sum (`Query.decode`).  The other half, `fedrec.queries.device.encoder.QueryEncoder`, turns a device's users into
the contribution; it is named here by its address only, so that a server never imports it.

Nothing outside of a query's two modules knows its name: the plan, the accountant, the wire, the order of a run, the
numbering of secure sums, the device's checks and the contract tests read `fedrec.queries.registry.QUERIES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config, Settings
from fedrec.content.feature_table import Features
from fedrec.errors import ProtocolError
from fedrec.privacy.accountant import Sampling
from fedrec.privacy.registry import INDEPENDENT
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Broadcast, Request

if TYPE_CHECKING:
    from fedrec.queries.run_state import RunState

Floats = NDArray[np.float64]


class Stage(IntEnum):
    """The three parts of a run: sums of counts, training of the model, and what is measured when it is done."""

    SUMS = 0
    TRAINING = 1
    FINAL = 2


@dataclass(frozen=True)
class Participation:
    """In how many rounds of a query rows take part, and how they are drawn; as of `accountant.QueryCost`."""

    rounds: int
    sampling: Sampling = "full"
    probability: float = 1.0
    minimum_separation: int = 1
    secret: bool = False


@dataclass(frozen=True, eq=False)
class NoisySum:
    """An opened sum with its noise, charged and kept: the only thing that a server makes anything of.

    ``vector``: float64 [request.sum.length].  ``deviation``: of all noise in an element, in the sum's own unit; 0 =
    none.
    """

    request: Request
    vector: Floats
    deviation: float


class Query(ABC):
    """The shared half of a query. Instances hold no state.

    Class attributes:
        name: in the registry, on the wire, in ledgers and in ``privacy.shares``.
        encoder: address of the device half, ``"module:class"``.
        default_share: of the privacy budget, as a part of 1/z^2, where ``privacy.shares`` does not name it.
        stage: the part of a run that it is asked in.
        sampled: whether a round is asked of a cohort drawn by ``training.sampling``; else of every device.
        own_noise: whether a device can make its contribution private by itself, as ``privacy.noise_place`` ``local``
            asks (`QueryEncoder.adds_own_noise`). A query that cannot is asked in no such run.
        measures_quality: whether `describe` gives figures of quality, for the model card.
        chooses_settings: whether its sum decides on settings, so that tuning them is part of what is charged.
        settings_type: its own settings, ``[queries.NAME]`` of a config; None where its settings are sections.
    """

    name: ClassVar[str]
    encoder: ClassVar[str]
    default_share: ClassVar[float]
    stage: ClassVar[Stage] = Stage.SUMS
    sampled: ClassVar[bool] = False
    settings_type: ClassVar[type[Settings] | None] = None
    own_noise: ClassVar[bool] = False
    measures_quality: ClassVar[bool] = False
    chooses_settings: ClassVar[bool] = False

    # When it is asked

    @abstractmethod
    def rounds(self, config: Config) -> range:
        """The numbers of the rounds in which a config asks it; empty where the config leaves it out."""

    def place(self, config: Config, round_number: int) -> tuple[int, ...]:
        """Where a round stands in its stage: rounds are asked in the order of these; ties by the registry."""
        return (0, round_number)

    # What an answer costs

    def participation(self, config: Config, users: int, devices: int) -> Participation:
        """Who takes part, for the accountant. Every device in every round, unless a query says otherwise."""
        return Participation(len(self.rounds(config)))

    def mechanism(self, config: Config) -> str:
        """The name of the mechanism that makes its sums private, in `fedrec.privacy.registry.MECHANISMS`."""
        return INDEPENDENT

    def rows(self, config: Config, users: int) -> int:
        """The most rows that a sum over all devices can hold."""
        return users

    # What is asked

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """What the server says in this round, of what the run knows so far."""
        return Broadcast()

    @abstractmethod
    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """The sum that the settings lead to: its length, bound, grid, and how far one privacy unit moves it.

        Raises:
            ConfigError: the settings do not bound it.
        """

    def derived(
        self, config: Config, round_number: int, said: Broadcast, features: Features
    ) -> Mapping[str, NDArray[Any]]:
        """Arrays of the request that follow from the settings and what the server said: devices make them again."""
        return {}

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """What of a request a device lets the server say, held to its form; the rest is left out.

        Raises:
            ProtocolError: it is not of the form that these settings lead to.
        """
        return Broadcast()

    # What is made of it

    @abstractmethod
    def decode(self, state: RunState, noisy: NoisySum) -> Any:
        """Make of a noisy sum what the run goes on with: change ``state``, and return what `RunState.results` keeps.

        It is called again with the same sum where a run that was cut off goes on, unless `checkpoint` keeps what it
        did. Uses public facts and noisy sums only, so it costs no privacy (Dwork and Roth 2014, Proposition 2.1).
        """

    def checkpoint(self, state: RunState) -> Mapping[str, NDArray[Any]] | None:
        """What is kept after a round in place of its noisy sum; None = the sum itself is kept, and decoded again."""
        return None

    def restore(self, state: RunState, arrays: Mapping[str, NDArray[Any]]) -> int:
        """Take up what `checkpoint` gave; returns the last round that is in it."""
        raise NotImplementedError(f"{self.name} keeps no checkpoint")

    def over(self, state: RunState, round_number: int) -> bool:
        """Whether a round is not asked any more, by what the run knows: as where training is stopped early."""
        return False

    def describe(self, result: Any) -> Any:
        """A result as JSON for ``run.json`` and the report; None where it is shown elsewhere."""
        return None

    def choice(self, result: Any) -> dict[str, Any] | None:
        """What a query that `chooses_settings` chose, as JSON: for ``run.json``, the terminal, the report and the card.

        ``chosen``, ``default``: names of candidates.  ``candidates``: a mapping each, with ``name``, noisy
        ``advantage`` and its ``noise``.  ``reason``: a sentence.  ``bytes_down``: what a device got for it.
        """
        return None

    def warnings(self, result: Any) -> Sequence[str]:
        """What a reader of a run with this result must know first, a sentence each: for the record, the terminal, the
        report, and the card too, since the sum was paid for (`fedrec.run_warnings`)."""
        return ()

    # For the settings

    def settings(self, config: Config) -> Any:
        """Its own settings, `settings_type`; None where the config does not name it."""
        if self.settings_type is None or self.name not in config.queries:
            return None
        return self.settings_type.model_validate(config.queries[self.name])


def vector_of(request: Request, name: str, dtype: type[np.generic] | None = None) -> NDArray[Any]:
    """A request's array of one dimension, with something in it, of a type where one is given.

    Raises:
        ProtocolError: there is none, or it is of another type.
    """
    found = request.arrays.get(name)
    if found is None or found.ndim != 1 or not len(found) or (dtype is not None and found.dtype != dtype):
        raise ProtocolError(
            f"a request lacks its array {name!r}",
            value=request.query,
            action="Check that both sides run the same version",
        )
    return found
