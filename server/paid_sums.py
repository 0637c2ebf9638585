"""Sums that are paid for: asked, checked, noised, kept and written to the ledger before anything is made of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

# Read in with the rest of the server: the accountant would do so in the middle of the first sum.
import dp_accounting  # noqa: F401
import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation.question import Question
from fedrec.config import Config
from fedrec.errors import BudgetExceededError, PrivacyError, ProtocolError
from fedrec.privacy.accountant import Spend
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.local import promise_said
from server.given_up import GIVEN_UP, GivenUpError
from server.keys import RunKeys
from server.noise import ServerNoise
from server.participation import Participation
from server.plan import first_rounds, rows_of, spends_of
from server.sampling import Sampler
from server.state import Pending, ServerState
from server.steps import Devices, Opened


@dataclass(frozen=True)
class Paid:
    """A noisy sum whose row is in the ledger, and how it was come by."""

    noisy: NDArray[np.float64]
    question: Question
    seconds: float
    opened: Opened
    asked: int


class PaidSums:
    """The one way for a run to get at a sum.

    Args:
        config: the run's settings.
        devices: whom to ask.
        ledger: what is written before a sum is used.
        state: what outlives a restart.
        sampler: who takes part when.
        keys: the run's secret keys.
        given_up: is told of a question that was asked in vain, before the run ends.

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
        given_up: Callable[[Paid], None],
    ) -> None:
        self.config, self.devices, self.ledger, self.state = config, devices, ledger, state
        self.given_up = given_up
        self.accounting_seconds = 0.0
        with self.accounting():
            self.spends = {spend.query: spend for spend in spends_of(config, devices.users, devices.size)}
        self.participation = Participation(sampler, keys.of("cohort digests"), state.load_turns())
        self.noise = ServerNoise(config, self.spends, keys)
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
        if not self.spends:
            return
        left = {spend: spend.rounds - self.ledger.charged(spend.query) for spend in self.spends.values()}
        plan = [replace(spend, rounds=rounds) for spend, rounds in left.items() if rounds > 0]
        with self.accounting():
            try:
                self.ledger.authorise(plan)
            except BudgetExceededError:
                if not self.ledger.begun:
                    raise
                self._authorise_first(plan)

    def _authorise_first(self, plan: Sequence[Spend]) -> None:
        """Authorise as many rounds of the plan, in the order of the run, as the budget still bears."""
        least, most = 0, sum(spend.rounds for spend in plan)  # `least` fit, `most` do not
        while most - least > 1:
            middle = (least + most) // 2
            try:
                self.ledger.authorise(first_rounds(plan, middle))
                least = middle
            except BudgetExceededError:
                most = middle
        self.ledger.authorise(first_rounds(plan, least))

    def of(self, question: Question, cohort: Sequence[int]) -> Paid:
        """Ask, add noise, keep, write the ledger; only then may anything be made of the sum.

        The noisy sum is kept before it is charged, so that a server killed in between neither loses what was paid for
        nor draws a second noise for the same sum: what is kept is used as soon as its row is in the ledger.
        """
        started = time.perf_counter()
        name = f"{question.query}/{question.round}"
        said = {"users": self.devices.users, "devices": self.devices.size}
        question = self.noise.shared(replace(question, settings={**question.settings, **said}), len(cohort))
        pending = self.state.load_pending(name)
        opened = None
        if pending is None or not self.ledger.has(question.query, question.round, digest_of(pending.noisy)):
            self._check_noise_is_unused(question)
            opened = self._asked(question, cohort, started)
            _check_survivors(question, opened)
            self.check_sum(question, opened, len(cohort))
            facts = self.participation.facts(question, cohort, opened.devices)
            turns = self.participation.took(question, cohort)
            noisy = question.sum.read(opened.vector + self.noise.of(question))
            pending = Pending(noisy, len(cohort), opened.devices, opened.bytes_up, turns)
            self.state.save_pending(name, pending)
            with self.accounting():
                self._charge(question, facts, noisy)
        seen = Opened(np.zeros(0), pending.devices, pending.bytes_up) if opened is None else opened
        return Paid(pending.noisy, question, time.perf_counter() - started, seen, pending.asked)

    def _asked(self, question: Question, cohort: Sequence[int], started: float) -> Opened:
        try:
            return self.devices.ask(question, cohort)
        except GivenUpError as error:
            nothing = Opened(np.zeros(0), 0, 0, error.aborted, GIVEN_UP)
            self.given_up(Paid(nothing.vector, question, time.perf_counter() - started, nothing, len(cohort)))
            raise

    def check_sum(self, question: Question, opened: Opened, asked: int) -> None:
        """Stop at a sum that no honest cohort can give; noise from devices in it would hide the difference.

        This holds all malicious devices together to what the whole cohort may say, not each of them to its own bound.
        """
        if self.config.privacy.noise_place == "distributed":
            return
        rows = rows_of(self.config, self.devices.users) if question.query == "training" else question.sum.rows
        if self.devices.users == self.devices.size:
            rows = rows * asked // self.devices.size
        question.sum.check_sum(opened.vector, rows)

    def _check_noise_is_unused(self, question: Question) -> None:
        if self.noise.correlated(question.query) and self.ledger.has(question.query, question.round):
            # Another sum under the same noise: their difference would show what the noise hides.
            raise PrivacyError(
                "the ledger has a round that the server's state lacks, and its noise would be used twice",
                value=f"{question.query}/{question.round}",
                action="Put the run's own server.sqlite back, or begin again in another directory",
            )

    def _charge(self, question: Question, facts: Mapping[str, Any], noisy: NDArray[np.float64]) -> None:
        agreed, spend = question.sum, self.spends.get(question.query)
        detail = {
            "sum": agreed.name,
            "length": agreed.length,
            "bound": agreed.bound,
            **facts,
            **promise_said(self.config),
        }
        if self.noise.correlated(question.query) and self.noise.banded is not None:
            detail["bands"] = self.noise.banded.bands
        if spend is None:
            self.ledger.record(question.query, round=question.round, detail=detail)
            return
        # A round whose sum was lost after it was charged is charged again, and says so.
        detail["repeat"] = self.ledger.count(question.query, question.round)
        if detail["repeat"] and spend.separation > 1:
            # Turns are accounted by the rounds between them; one more in the same round was not foreseen.
            raise BudgetExceededError(
                "a round was charged and its sum lost; asked again, a device would have a turn too many",
                value=f"{question.query}/{question.round}",
            )
        detail["released"] = digest_of(noisy)
        self.ledger.charge(replace(spend, rounds=1), round=question.round, detail=detail)

    def spent(self, question: Question) -> float | None:
        """Epsilon so far; None where nothing is claimed. Composing sampled rounds takes seconds, so it is left out."""
        spend = self.spends.get(question.query)
        with self.accounting():
            return None if spend is None or spend.amplified else self.ledger.spent()


def digest_of(noisy: NDArray[np.float64]) -> str:
    """SHA-256 in hex of a noisy sum: ties what is used to its row."""
    return hashlib.sha256(noisy.astype("<f8").tobytes()).hexdigest()


def _check_survivors(question: Question, opened: Opened) -> None:
    """Raise ProtocolError where so many are missing that the rest's noise is not what the sum is accounted for."""
    if 0 < opened.devices < question.sum.survivors:
        raise ProtocolError(
            f"the sum for {question.query}, round {question.round}, is over too few for its noise",
            value=opened.devices,
            action=f"It needs {question.sum.survivors}; raise secure_aggregation.dropout if more are often gone",
        )
