"""Sums that are paid for: asked, checked, noised, kept and written to the ledger before anything is made of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.errors import BudgetExceededError, PrivacyError, ProtocolError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.local import promise_said
from fedrec.privacy.run_plan import first_rounds, in_full
from fedrec.queries.plan import costs_of
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.server.aggregation_failed import AGGREGATION_FAILED, AggregationFailedError
from fedrec.server.keys import RunKeys
from fedrec.server.noise import ServerNoise
from fedrec.server.participation import ParticipationLog
from fedrec.server.results import AggregateResult, Devices, MaskedDevices
from fedrec.server.sampling import Sampler
from fedrec.server.state import ServerState, UnchargedSum


@dataclass(frozen=True)
class NoisyAggregate:
    """A noisy sum whose row is in the ledger, and how it was come by."""

    noisy: NDArray[np.float64]
    request: Request
    seconds: float
    opened: AggregateResult
    asked: int


class PrivateAggregator:
    """The one way for a run to get at a sum.

    Args:
        config: the run's settings.
        devices: whom to ask.
        ledger: what is written before a sum is used.
        state: what outlives a restart.
        sampler: who takes part when.
        keys: the run's secret keys.
        aggregation_failed: is told of a request that was asked in vain, before the run ends.

    Raises:
        PrivacyError: the budget cannot be met, or the ledger is not the one of the state.
    """

    def __init__(
        self,
        config: Config,
        devices: Devices,
        ledger: Ledger,
        state: ServerState,
        sampler: Sampler,
        keys: RunKeys,
        aggregation_failed: Callable[[NoisyAggregate], None],
    ) -> None:
        self.config, self.devices, self.ledger, self.state = config, devices, ledger, state
        self.aggregation_failed = aggregation_failed
        self.accounting_seconds = 0.0
        with self.accounting():
            self.costs = {cost.query: cost for cost in costs_of(config, devices.users, devices.size)}
        if not all(cost.exact for cost in self.costs.values()):
            # It takes seconds, which the accountant would take in the middle of the first sum.
            import dp_accounting  # noqa: F401
        self.participation = ParticipationLog(sampler, keys.of("cohort digests"), state.load_participations())
        self.noise = ServerNoise(config, self.costs, keys)
        if state.begun and not ledger.begun:
            raise PrivacyError(
                "the server's state has sums that the ledger lacks",
                action="Put the run's own ledger.sqlite back, or begin again in another directory",
            )

    @contextmanager
    def accounting(self) -> Iterator[None]:
        """Count the time of what is done inside as accounting."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.accounting_seconds += time.perf_counter() - started

    def authorise(self) -> None:
        """Hold the whole plan to the budget once.

        Where something else was spent from the ledger, rounds are charged one by one until the budget ends: the run
        then stops there, with a release that is within it.
        """
        if not self.costs:
            return
        left = {cost: cost.rounds - self.ledger.charged(cost.query) for cost in self.costs.values()}
        plan = [replace(cost, rounds=rounds) for cost, rounds in left.items() if rounds > 0]
        with self.accounting():
            try:
                self.ledger.authorise(plan)
            except BudgetExceededError:
                if not self.ledger.begun:
                    raise
                self._authorise_first(plan)

    def _authorise_first(self, plan: Sequence[QueryCost]) -> None:
        """Authorise as many rounds of the plan, in the order of the run, as the budget still bears."""
        least, most = 0, sum(cost.rounds for cost in plan)  # `least` fit, `most` do not
        while most - least > 1:
            middle = (least + most) // 2
            try:
                self.ledger.authorise(first_rounds(plan, middle))
                least = middle
            except BudgetExceededError:
                most = middle
        self.ledger.authorise(first_rounds(plan, least))

    def aggregate(self, request: Request, cohort: Sequence[int]) -> NoisyAggregate:
        """Ask, add noise, keep, write the ledger; only then may anything be made of the sum.

        The noisy sum is kept before it is charged, so that a server killed in between neither loses what was paid for
        nor draws a second noise for the same sum: what is kept is used as soon as its row is in the ledger.  Where
        devices share the noise, a sum is charged before it can be opened, and each attempt at it again.
        """
        started = time.perf_counter()
        name = f"{request.query}/{request.round}"
        said = {"users": self.devices.users, "devices": self.devices.size}
        request = self.noise.shared(replace(request, settings={**request.settings, **said}), len(cohort))
        pending = self.state.load_pending(name)
        opened = None
        if pending is None or not self._is_charged(request, pending):
            self._check_noise_is_unused(request)
            opened = self._asked(request, cohort, started)
            _check_survivors(request, opened)
            self.check_sum(request, opened, len(cohort))
            facts = self.participation.facts(request, cohort, opened.devices)
            participations = self.participation.took(request, cohort)
            noisy = request.sum.read(opened.vector + self.noise.of(request))
            pending = UnchargedSum(noisy, len(cohort), opened.devices, opened.bytes_up, participations)
            self.state.save_pending(name, pending)
            with self.accounting():
                self._settle(request, facts, pending)
        elif self.ledger.is_open(request.query, request.round):
            self._note_opened(request, pending)
        seen = AggregateResult(np.zeros(0), pending.devices, pending.bytes_up) if opened is None else opened
        return NoisyAggregate(pending.noisy, request, time.perf_counter() - started, seen, pending.asked)

    def _charged_ahead(self, request: Request) -> bool:
        """Whether a sum is charged before it is opened: it is private then, and whoever opens it has it."""
        return self.noise.on_devices and request.query in self.costs

    def _is_charged(self, request: Request, pending: UnchargedSum) -> bool:
        """Whether the ledger has the row of a sum that was kept."""
        if self.ledger.is_open(request.query, request.round):
            return True
        return self.ledger.has(request.query, request.round, digest_of(pending.noisy))

    def _settle(self, request: Request, facts: Mapping[str, Any], pending: UnchargedSum) -> None:
        """Write what is not in the ledger yet of a sum that was kept."""
        if not self._charged_ahead(request):
            self._charge(request, {**facts, "released": digest_of(pending.noisy)})
            return
        if not self.ledger.is_open(request.query, request.round):
            self._charge(request, facts, ahead=True)  # a sum over nobody: no device was asked for it
        self._note_opened(request, pending)

    def _note_opened(self, request: Request, pending: UnchargedSum) -> None:
        """Say in the ledger that a sum which was charged ahead was opened, and which it is."""
        said = {"survivors": pending.devices, "released": digest_of(pending.noisy)}
        self.ledger.opened(request.query, request.round, said)

    def _asked(self, request: Request, cohort: Sequence[int], started: float) -> AggregateResult:
        ahead = self._charged_ahead(request)
        if isinstance(self.devices, MaskedDevices):
            self.devices.before_masking = partial(self._charge_ahead, request, cohort) if ahead else _nothing
        elif ahead:
            self._charge_ahead(request, cohort)
        try:
            return self.devices.aggregate(request, cohort)
        except AggregationFailedError as error:
            nothing = AggregateResult(np.zeros(0), 0, 0, error.aborted, AGGREGATION_FAILED, error.excluded)
            self.aggregation_failed(
                NoisyAggregate(nothing.vector, request, time.perf_counter() - started, nothing, len(cohort))
            )
            raise

    def check_sum(self, request: Request, opened: AggregateResult, asked: int) -> None:
        """Stop at a sum that no honest cohort can give; noise from devices in it would hide the difference.

        This holds all malicious devices together to what the whole cohort may say, not each of them to its own bound.
        """
        if self.config.privacy.noise_place == "distributed":
            return
        query = QUERIES[request.query]
        rows = query.rows(self.config, self.devices.users) if query.sampled else request.sum.rows
        if self.devices.users == self.devices.size:
            rows = rows * asked // self.devices.size
        request.sum.check_sum(opened.vector, rows)

    def _check_noise_is_unused(self, request: Request) -> None:
        if self.noise.correlated(request.query) and self.ledger.has(request.query, request.round):
            # Another sum under the same noise: their difference would show what the noise hides.
            raise PrivacyError(
                "the ledger has a round that the server's state lacks, and its noise would be used twice",
                value=f"{request.query}/{request.round}",
                action="Put the run's own server.sqlite back, or begin again in another directory",
            )

    def _charge_ahead(self, request: Request, cohort: Sequence[int]) -> None:
        """Write the row of a sum that devices are about to make it possible to open.

        Raises:
            BudgetExceededError: the budget does not bear it: they are not asked.
        """
        with self.accounting():
            self._charge(request, self.participation.facts(request, cohort, 0), ahead=True)

    def _charge(self, request: Request, facts: Mapping[str, Any], *, ahead: bool = False) -> None:
        agreed, cost = request.sum, self.costs.get(request.query)
        detail = {
            "sum": agreed.name,
            "length": agreed.length,
            "bound": agreed.bound,
            **{name: fact for name, fact in facts.items() if cost is not None or name != "released"},
            **promise_said(self.config),
        }
        detail |= self.noise.details(request.query)
        if cost is None:
            self.ledger.record(request.query, round=request.round, detail=detail)
            return
        # A round whose sum was lost after it was charged is charged again, and says so.
        detail["repeat"] = self.ledger.count(request.query, request.round)
        one = replace(cost, rounds=1)
        if detail["repeat"] and ahead:
            one = in_full(cost)
            self.ledger.authorise(())  # the plan has no room for it: from here on rounds are charged while they fit
        elif detail["repeat"] and cost.minimum_separation > 1:
            # Turns are accounted by the rounds between them; one more in the same round was not foreseen.
            raise BudgetExceededError(
                "a round was charged and its sum lost; asked again, a device would have a turn too many",
                value=f"{request.query}/{request.round}",
            )
        self.ledger.charge(one, round=request.round, detail=detail, ahead=ahead)

    def spent(self, request: Request) -> float | None:
        """Epsilon so far; None where nothing is claimed. Composing losses takes seconds, so it is left out."""
        cost = self.costs.get(request.query)
        with self.accounting():
            return self.ledger.spent() if cost is not None and cost.exact else None


def _nothing() -> None:
    """What is done before a sum is opened that is charged afterwards."""


def digest_of(noisy: NDArray[np.float64]) -> str:
    """SHA-256 in hex of a noisy sum: ties what is used to its row."""
    return hashlib.sha256(noisy.astype("<f8").tobytes()).hexdigest()


def _check_survivors(request: Request, opened: AggregateResult) -> None:
    """Raise ProtocolError where so many are missing that the rest's noise is not what the sum is accounted for."""
    if 0 < opened.devices < request.sum.survivors:
        raise ProtocolError(
            f"the sum for {request.query}, round {request.round}, is over too few for its noise",
            value=opened.devices,
            action=f"It needs {request.sum.survivors}; raise secure_aggregation.dropout if more are often gone",
        )
