"""A run as a list of steps: what is asked of the devices, what it may cost, and what is made of the answers.

Nothing here knows how devices are reached: `Devices` is Flower's grid in production and a vectorised pass in a study.
Every opened sum goes through `Run._opened`: noise is added and the ledger's row is written before anything uses it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation import clip_rate, cooccurrence, metrics_query, model_update, popularity
from fedrec.aggregation.behaviour import Behaviour
from fedrec.aggregation.optimisers import Optimiser
from fedrec.aggregation.question import Question
from fedrec.aggregation.solve import check_prior, solve
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import BudgetExceededError, PrivacyError, ProtocolError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.recommender import Recommender
from fedrec.model.warm_start import fit_heads
from fedrec.privacy.accountant import Spend
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.local import said
from server.cohort_floor import check_sampled_cohorts
from server.given_up import GIVEN_UP, GivenUpError
from server.keys import RunKeys
from server.noise import ServerNoise
from server.participation import Participation
from server.plan import first_rounds, rows_of, spends_of
from server.sampling import Sampler
from server.state import Pending, ServerState
from server.steps import Devices, Observer, Opened, Outcome, Step, bytes_up_each

__all__ = ["Devices", "Observer", "Opened", "Outcome", "Run", "Step", "bytes_up_each"]


@dataclass(frozen=True)
class _Paid:
    """A noisy sum whose row is in the ledger, and how it was come by."""

    noisy: NDArray[np.float64]
    question: Question
    seconds: float
    opened: Opened
    asked: int


class Run:
    """One run over a set of devices. A run that was cut off goes on where its state and ledger say.

    Raises:
        ConfigError: the settings do not fit the content or each other.
        PrivacyError: the budget cannot be met, or the ledger is not the one of the state.
    """

    def __init__(
        self,
        config: Config,
        features: Features,
        devices: Devices,
        ledger: Ledger,
        state: ServerState,
        observe: Observer,
    ) -> None:
        self.config, self.features, self.devices = config, features, devices
        self.ledger, self.state, self.observe = ledger, state, observe
        check_sampled_cohorts(config, devices.size)
        self.rows = rows_of(config, devices.users)
        keys = RunKeys(config, state)
        self.sampler = Sampler(config, devices.size, keys.of("cohorts"))
        self.accounting_seconds = 0.0
        with self._accounting():
            self.spends = {spend.query: spend for spend in spends_of(config, devices.users, devices.size)}
        self.participation = Participation(self.sampler, keys.of("cohort digests"), state.load_turns())
        self.noise = ServerNoise(config, self.spends, keys)
        self.behaviour = Behaviour.empty(len(features.ids))
        self.model = _first_model(config, features)
        self.stopped: str | None = None
        if config.behaviour.cooccurrence and config.behaviour.prior > 0:
            check_prior(features, config.behaviour.prior_modalities)
        if state.begun and not ledger.begun:
            raise PrivacyError(
                "the server's state has sums that the ledger lacks",
                action="Put the run's own ledger.sqlite back, or begin again in another directory",
            )

    def conduct(self) -> Outcome:
        """All steps, in order."""
        self._authorise()
        metrics = None
        try:
            self._popularity()
            self._cooccurrence()
            self._training()
            metrics = self._metrics()
        except BudgetExceededError as error:
            self.stopped = str(error)
        with self._accounting():
            spends = tuple(self.ledger.spends())
            kept = {"head": self.ledger.head, "rows": len(self.ledger), "users": self.devices.users}
        return Outcome(self.model, self.behaviour, spends, metrics, self.stopped, kept, self.accounting_seconds)

    @contextmanager
    def _accounting(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.accounting_seconds += time.perf_counter() - started

    def _authorise(self) -> None:
        """Hold the whole plan to the budget once.

        Where something else was spent from the ledger, rounds are charged one by one until the budget ends: the run
        then stops there, with a release that is within it.
        """
        if not self.spends:
            return
        left = {spend: spend.rounds - self.ledger.charged(spend.query) for spend in self.spends.values()}
        plan = [replace(spend, rounds=rounds) for spend, rounds in left.items() if rounds > 0]
        with self._accounting():
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

    def _popularity(self) -> None:
        if not self.config.behaviour.popularity:
            return
        bits = self.config.secure_aggregation.resolution_bits
        question = popularity.ask(len(self.features.ids), self.devices.users, bits)
        counts = popularity.read(self._once(question))
        none = np.zeros((len(counts), 0), np.float32)
        self.behaviour = Behaviour(none, none, counts.astype(np.float32))

    def _cooccurrence(self) -> None:
        settings = self.config.behaviour
        if not settings.cooccurrence:
            return
        counts = self.behaviour.popularity.astype(np.float64)
        items = cooccurrence.taking_part(counts, settings.items)
        question = cooccurrence.ask(
            items,
            self.devices.users,
            settings,
            unit=self.config.privacy.unit,
            noisy=bool(self.spends),
            resolution_bits=self.config.secure_aggregation.resolution_bits,
        )
        matrix = cooccurrence.read(self._once(question))
        sigma = self.noise.deviation(question, self.devices.size)
        denoised = cooccurrence.denoise(matrix, sigma)
        self.behaviour = solve(
            counts, denoised, items, settings, features=self.features, noisy="cooccurrence" in self.spends
        )

    def _training(self) -> None:
        if self.model is None:
            return
        settings = self.config.training
        optimiser = Optimiser(settings.optimiser, settings.learning_rate, settings.momentum)
        values = parameters.flatten(self.model).astype(np.float64)
        privacy, expected = self.config.privacy, self.rows * self.sampler.share
        done, values, optimiser, clip = self.state.load_training(values, optimiser, privacy.clip)
        for number in range(done + 1, settings.rounds + 1):
            question = model_update.ask(
                self.config, number, values.astype(np.float32), len(self.features.ids), self._rows_in_a_sum, clip
            )
            paid = self._opened(question, self.sampler.cohort(number))
            values = optimiser.step(values, model_update.mean_gradient(paid.noisy[: len(values)], expected))
            if privacy.adaptive_clip is not None:
                clip = clip_rate.next_clip(clip, float(paid.noisy[-1]), expected, privacy.adaptive_clip)
            parameters.unflatten(self.model, values)
            self._show(paid)
            self.state.save_training(number, values, optimiser, clip)
        parameters.unflatten(self.model, values)
        self.state.forget_secret()

    @property
    def _rows_in_a_sum(self) -> int:
        """Most rows in one training sum. Where devices hold several users, a few of them may hold nearly all."""
        one_each = self.devices.users == self.devices.size
        return self.rows // self.devices.size * self.sampler.most if one_each else self.rows

    def _metrics(self) -> Mapping[str, float | None] | None:
        if not self.config.evaluation.private_metrics:
            return None
        bits = self.config.secure_aggregation.resolution_bits
        arrays: dict[str, NDArray[np.float32]] = dict(self.behaviour.arrays())
        if self.model is not None:
            arrays["parameters"] = parameters.flatten(self.model)
        question = metrics_query.ask(self.config.training.rounds + 1, arrays, self.devices.users, bits)
        return metrics_query.read(self._once(question))

    def _once(self, question: Question) -> NDArray[np.float64]:
        """A query that is asked of everybody once; after a restart its noisy answer is taken from the state."""
        kept = self.state.load_answer(question.query)
        if kept is not None:
            return kept
        paid = self._opened(question, range(self.devices.size))
        self._show(paid)
        self.state.save_answer(question.query, paid.noisy)
        return paid.noisy

    def _opened(self, question: Question, cohort: Sequence[int]) -> _Paid:
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
            self._check_sum(question, opened, len(cohort))
            facts = self.participation.facts(question, cohort, opened.devices)
            turns = self.participation.took(question, cohort)
            noisy = question.sum.read(opened.vector + self.noise.of(question))
            pending = Pending(noisy, len(cohort), opened.devices, opened.bytes_up, turns)
            self.state.save_pending(name, pending)
            with self._accounting():
                self._charge(question, facts, noisy)
        seen = Opened(np.zeros(0), pending.devices, pending.bytes_up) if opened is None else opened
        return _Paid(pending.noisy, question, time.perf_counter() - started, seen, pending.asked)

    def _asked(self, question: Question, cohort: Sequence[int], started: float) -> Opened:
        try:
            return self.devices.ask(question, cohort)
        except GivenUpError as error:
            nothing = Opened(np.zeros(0), 0, 0, error.aborted, GIVEN_UP)
            self._show(_Paid(nothing.vector, question, time.perf_counter() - started, nothing, len(cohort)))
            raise

    def _check_sum(self, question: Question, opened: Opened, asked: int) -> None:
        """Stop at a sum that no honest cohort can give; noise from devices in it would hide the difference.

        This holds all malicious devices together to what the whole cohort may say, not each of them to its own bound.
        """
        if self.config.privacy.noise_place == "distributed":
            return
        rows = self.rows if question.query == "training" else question.sum.rows
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
        detail = {"sum": agreed.name, "length": agreed.length, "bound": agreed.bound, **facts, **said(self.config)}
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

    def _spent(self, question: Question) -> float | None:
        """Epsilon so far; None where nothing is claimed. Composing sampled rounds takes seconds, so it is left out."""
        spend = self.spends.get(question.query)
        with self._accounting():
            return None if spend is None or spend.amplified else self.ledger.spent()

    def _show(self, paid: _Paid) -> None:
        spent = self._spent(paid.question)
        known = (self.model, self.behaviour, paid.noisy)
        self.observe(Step(paid.question, paid.seconds, paid.opened, paid.asked, spent, *known))


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


def _first_model(config: Config, features: Features) -> Recommender | None:
    """The model of round 0, its heads fitted to public content, which costs no privacy; None where none is wanted."""
    if not config.model.tower:
        return None
    model = build_model(config, features)
    if config.model.warm_start is not None:
        fit_heads(model, features.values, features.present, evenness=config.model.warm_start)
    return model
