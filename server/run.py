"""A run as a list of steps: what is asked of the devices, what it may cost, and what is made of the answers.

Nothing here knows how devices are reached: `Devices` is Flower's grid in production and a vectorised pass in a study.
Every opened sum goes through `Run._opened`: noise is added and the ledger's row is written before anything uses it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation import cooccurrence, metrics_query, model_update, popularity
from fedrec.aggregation.behaviour import Behaviour
from fedrec.aggregation.optimisers import Optimiser
from fedrec.aggregation.question import Question
from fedrec.aggregation.solve import check_prior, solve
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.recommender import Recommender
from fedrec.model.warm_start import fit_heads
from fedrec.privacy.accountant import Spend
from fedrec.privacy.ledger import Ledger
from server.cohort_floor import check_sampled_cohorts
from server.given_up import GIVEN_UP, GivenUpError
from server.noise import ServerNoise
from server.plan import rows_of, spends_of
from server.sampling import Sampler
from server.state import ServerState

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Opened:
    """An opened private sum, before noise. ``devices``: survivors. ``bytes_up``: what they sent for it, in all.

    ``aborted``: attempts before it that gave no sum, by reason.  ``reason``: why the sum is over nobody, if it had to
    be, or `server.given_up.GIVEN_UP`.
    """

    vector: NDArray[np.float64]
    devices: int
    bytes_up: int
    aborted: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None


def bytes_up_each(question: Question, opened: Opened) -> int:
    """What one device sent for a sum, in bytes; of a sum over nobody, what its contribution alone would take.

    Of one that was given up: 0, since nobody counts what was sent in vain.
    """
    if opened.reason == GIVEN_UP:
        return 0
    return -(-opened.bytes_up // opened.devices) if opened.devices else question.sum.bytes_up


class Devices(Protocol):
    """How a run reaches its devices."""

    @property
    def users(self) -> int:
        """How many users the roster stands for."""

    @property
    def size(self) -> int:
        """How many devices there are."""

    def ask(self, question: Question, cohort: Sequence[int]) -> Opened:
        """Put a question to the devices at these places and open the sum over those who answer.

        Raises:
            GivenUpError: every attempt at it failed.
        """


@dataclass(frozen=True)
class Step:
    """What an observer is shown after each opened sum, and of one that was given up.

    ``model`` and ``behaviour`` are what is known so far.  ``noisy``: the sum with its noise, float64
    [question.sum.length], which the run goes on with and its ledger covers; empty where it was given up.
    """

    question: Question
    seconds: float
    opened: Opened
    cohort: int
    epsilon_spent: float | None
    model: Recommender | None
    behaviour: Behaviour
    noisy: NDArray[np.float64]


Observer = Callable[[Step], None]


@dataclass(frozen=True)
class Outcome:
    """What a run leaves. ``stopped``: why it ended before its last round, or None."""

    model: Recommender | None
    behaviour: Behaviour
    spends: tuple[Spend, ...]
    metrics: Mapping[str, float | None] | None
    stopped: str | None = None


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
        self.sampler = Sampler(config, devices.size)
        self.spends = {spend.query: spend for spend in spends_of(config, devices.users)}
        self.noise = ServerNoise(config, self.spends)
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
        return Outcome(self.model, self.behaviour, tuple(self.ledger.spends()), metrics, self.stopped)

    def _authorise(self) -> None:
        if self.spends:
            left = {spend: spend.rounds - self.ledger.charged(spend.query) for spend in self.spends.values()}
            self.ledger.authorise(replace(spend, rounds=rounds) for spend, rounds in left.items() if rounds > 0)

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
        spend = self.spends.get("cooccurrence")
        sigma = spend.noise_multiplier * question.sum.sensitivity if spend else 0.0
        denoised = cooccurrence.denoise(matrix, sigma)
        self.behaviour = solve(counts, denoised, items, settings, features=self.features, noisy=spend is not None)

    def _training(self) -> None:
        if self.model is None:
            return
        settings = self.config.training
        optimiser = Optimiser(settings.optimiser, settings.learning_rate, settings.momentum)
        values = parameters.flatten(self.model).astype(np.float64)
        done, values, optimiser = self.state.load_training(values, optimiser)
        for number in range(done + 1, settings.rounds + 1):
            question = model_update.ask(
                self.config, number, values.astype(np.float32), len(self.features.ids), self.rows
            )
            paid = self._opened(question, self.sampler.cohort(number))
            gradient = model_update.mean_gradient(paid.noisy, self.rows * self.sampler.share)
            values = optimiser.step(values, gradient)
            self.state.save_training(number, values, optimiser)
            parameters.unflatten(self.model, values)
            self._show(paid)
        parameters.unflatten(self.model, values)

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
        self.state.save_answer(question.query, paid.noisy)
        self._show(paid)
        return paid.noisy

    def _opened(self, question: Question, cohort: Sequence[int]) -> _Paid:
        """Ask, add noise, keep, write the ledger; only then may anything be made of the sum.

        The noisy sum is kept before it is charged, so that a server killed in between neither loses what was paid for
        nor draws a second noise for the same sum: what is kept is used as soon as its row is in the ledger.
        """
        started = time.perf_counter()
        name = f"{question.query}/{question.round}"
        noisy = self.state.load_pending(name)
        opened = Opened(np.zeros(0), 0, 0)
        if noisy is None or not self.ledger.has(question.query, question.round):
            opened = self._asked(question, cohort, started)
            self._check_sum(question, opened, len(cohort))
            noisy = opened.vector + self.noise.of(question)
            self.state.save_pending(name, noisy)
            self._charge(question, devices=len(cohort))
        return _Paid(noisy, question, time.perf_counter() - started, opened, len(cohort))

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
        place: str = self.config.privacy.noise_place
        if place != "server":
            return
        rows = question.sum.rows
        if self.devices.users == self.devices.size:
            rows = rows * asked // self.devices.size
        question.sum.check_sum(opened.vector, rows)

    def _charge(self, question: Question, *, devices: int) -> None:
        agreed = question.sum
        detail = {"sum": agreed.name, "length": agreed.length, "bound": agreed.bound, "asked": devices}
        spend = self.spends.get(question.query)
        if spend is None:
            self.ledger.record(question.query, round=question.round, detail=detail)
        else:
            self.ledger.charge(replace(spend, rounds=1), round=question.round, detail=detail)

    def _spent(self, question: Question) -> float | None:
        """Epsilon so far; None where nothing is claimed. Composing sampled rounds takes seconds, so it is left out."""
        spend = self.spends.get(question.query)
        return None if spend is None or spend.amplified else self.ledger.spent()

    def _show(self, paid: _Paid) -> None:
        spent = self._spent(paid.question)
        known = (self.model, self.behaviour, paid.noisy)
        self.observe(Step(paid.question, paid.seconds, paid.opened, paid.asked, spent, *known))


def _first_model(config: Config, features: Features) -> Recommender | None:
    """The model of round 0, its heads fitted to public content, which costs no privacy; None where none is wanted."""
    if not config.model.tower:
        return None
    model = build_model(config, features)
    if config.model.warm_start is not None:
        fit_heads(model, features.values, features.present, evenness=config.model.warm_start)
    return model
