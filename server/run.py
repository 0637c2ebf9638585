"""A run as a list of steps: what is asked of the devices, what it may cost, and what is made of the answers.

Nothing here knows how devices are reached: `Devices` is Flower's grid in production and a vectorised pass in a study.
Every opened sum goes through `PaidSums.of`: noise is added and the ledger's row is written before anything uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation import (
    clip_rate,
    cooccurrence,
    factors,
    item_tables,
    low_rank,
    metrics_query,
    model_update,
    negatives,
    popularity,
    validation,
)
from fedrec.aggregation.behaviour import Behaviour
from fedrec.aggregation.content_kernel import check_prior, content_factors
from fedrec.aggregation.item_factors import from_factors
from fedrec.aggregation.optimisers import Optimiser
from fedrec.aggregation.question import Question
from fedrec.aggregation.schedule import share_of_rate
from fedrec.aggregation.solve import solve
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import BudgetExceededError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.recommender import Recommender
from fedrec.model.warm_start import fit_heads
from fedrec.privacy.ledger import Ledger
from server.cohort_floor import check_sampled_cohorts
from server.keys import RunKeys
from server.paid_sums import Paid, PaidSums
from server.plan import claimed, rows_of
from server.sampling import Sampler
from server.state import ServerState
from server.steps import Devices, Observer, Opened, Outcome, Step, bytes_up_each
from server.stopping import Stopping
from server.tower_prior import TOWER, with_tower, without_tower

__all__ = ["Devices", "Observer", "Opened", "Outcome", "Run", "Step", "bytes_up_each"]


class Run:
    """One run over a set of devices. A run that was cut off goes on where its state and ledger say.

    Raises:
        ConfigError: the settings do not fit the content or each other.
        PrivacyError: the budget cannot be met, or the ledger is not the one of the state.
    """

    paid_sums: type[PaidSums] = PaidSums

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
        self.sums = self.paid_sums(config, devices, ledger, state, self.sampler, keys, self._show)
        self.behaviour = Behaviour.empty(len(features.ids))
        self.tables = item_tables.none(config, len(features.ids))
        self.read = item_tables.extended(config, features, self.tables)
        self.model = _first_model(config, self.read)
        self.stopping = Stopping(config.training, state)
        self.frozen = np.zeros(0, np.float32)
        self.deviation = 0.0
        self.solve: Callable[..., Behaviour] | None = None
        self.stopped: str | None = None
        public = without_tower(config.behaviour)
        if public.factors or (public.cooccurrence and public.prior > 0):
            check_prior(features, public.prior_modalities)

    def conduct(self) -> Outcome:
        """All steps, in order."""
        self.sums.authorise()
        metrics = None
        try:
            self._popularity()
            self._cooccurrence()
            self._factors()
            self.behaviour = self.behaviour.discounted(self.config.behaviour.discount)
            self._item_tables()
            self._training()
            self._tower_prior()
            metrics = self._metrics()
        except BudgetExceededError as error:
            self.stopped = str(error)
            self._tower_prior()
        with self.sums.accounting():
            spends = tuple(self.ledger.spends())
            if self.stopping.early:
                spends = tuple(claimed(tuple(self.sums.spends.values()), spends))
            kept = {"head": self.ledger.head, "rows": len(self.ledger), "users": self.devices.users}
        seconds = self.sums.accounting_seconds
        found = self.stopping.facts()
        return Outcome(self.model, self.behaviour, spends, metrics, self.read, self.stopped, kept, seconds, found)

    def _popularity(self) -> None:
        if not self.config.behaviour.popularity:
            return
        bits = self.config.secure_aggregation.resolution_bits
        ramp = self.config.behaviour.ramp
        question = popularity.ask(
            len(self.features.ids), self.devices.users, bits, unit=self.config.privacy.unit, ramp=ramp
        )
        self.deviation = self.sums.noise.deviation(question, self.devices.size)
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
            noisy=bool(self.sums.spends),
            resolution_bits=self.config.secure_aggregation.resolution_bits,
        )
        matrix = cooccurrence.read(self._once(question))
        sigma = self.sums.noise.deviation(question, self.devices.size)
        denoised = cooccurrence.denoise(matrix, sigma)
        noisy = "cooccurrence" in self.sums.spends
        self.solve = partial(solve, counts, denoised, items, noisy=noisy)
        self.behaviour = self.solve(without_tower(settings), features=self.features)

    def _tower_prior(self) -> None:
        """Solve once more, where the prior is to know what the tower has learned; both are paid for already."""
        settings = self.config.behaviour
        if self.solve is None or self.model is None or TOWER not in settings.prior_modalities:
            return
        solved = self.solve(settings, features=with_tower(self.features, self.read, self.model))
        self.behaviour = solved.discounted(settings.discount)

    def _factors(self) -> None:
        settings, users = self.config.behaviour, self.devices.users
        if not settings.factors:
            return
        counts = self.behaviour.popularity.astype(np.float64)
        mass = low_rank.mass_of(counts, users)
        content = content_factors(self.features, settings)
        expected = factors.Expected.of(mass, counts, content)
        asked = factors.first(expected, settings.factor_rank, settings.whitening, settings.levelling)
        for number in range(1, settings.directions + 1):
            found = self._found(factors.ask(self.config, "directions", number, asked, users), asked, expected)
            asked = factors.following(asked, found, settings.factor_rank, settings.whitening)
        found = self._found(factors.ask(self.config, "factors", 0, asked, users), asked, expected)
        whole = low_rank.joined(
            asked.centre, counts, found.factors, content, mass, scale=settings.factor_scale, prior=settings.prior
        )
        if settings.method == "als":
            self.behaviour = low_rank.factorise(counts, whole, settings.ridge, settings.rank)
        else:
            self.behaviour = low_rank.solve_low_rank(counts, whole, mass, settings.ridge, settings.rank)
        if settings.fold_in is not None:
            self.behaviour = replace(self.behaviour, factors=from_factors(whole, mass, settings.fold_in))

    def _found(self, question: Question, asked: factors.Directions, expected: factors.Expected) -> factors.Found:
        sigma = self.sums.noise.deviation(question, self.devices.size)
        return factors.read(self._once(question), asked, expected, sigma)

    def _item_tables(self) -> None:
        """Extend what the tower reads by what the sums say of the items; a model that reads it starts from it."""
        if item_tables.names(self.config):
            self.tables = item_tables.tables_of(self.config, self.behaviour, self.deviation)
            self.read = item_tables.extended(self.config, self.features, self.tables)
            self.model = _first_model(self.config, self.read)

    def _training(self) -> None:
        if self.model is None:
            return
        settings = self.config.training
        optimiser = Optimiser(settings.optimiser, settings.learning_rate, settings.momentum)
        values = parameters.flatten(self.model).astype(np.float64)
        privacy, expected = self.config.privacy, self.rows * self.sampler.share
        by_use = settings.pool == "popularity"
        weights = negatives.weights_of(self.behaviour.popularity, settings.pool_power) if by_use else None
        self.frozen = self.state.load_frozen(parameters.flatten_frozen(self.model))
        parameters.unflatten_frozen(self.model, self.frozen)
        done, values, optimiser, clip = self.state.load_training(values, optimiser, privacy.clip)
        number = done
        while not self._validated(number, values) and number < settings.rounds:
            number += 1
            question = model_update.ask(
                self.config,
                number,
                values.astype(np.float32),
                len(self.features.ids),
                self._rows_in_a_sum,
                clip,
                weights=weights,
                carried=self._carried,
            )
            paid = self.sums.of(question, self.sampler.cohort(number))
            gradient = model_update.mean_gradient(paid.noisy[: len(values)], expected)
            values = optimiser.step(values, gradient, share_of_rate(number, settings))
            if privacy.adaptive_clip is not None:
                clip = clip_rate.next_clip(clip, float(paid.noisy[-1]), expected, privacy.adaptive_clip)
            parameters.unflatten(self.model, values)
            self._show(paid)
            self.state.save_training(number, values, optimiser, clip)
        parameters.unflatten(self.model, values if self.stopping.best is None else self.stopping.values)
        self.state.forget_secret()

    def _validated(self, done: int, values: NDArray[np.float64]) -> bool:
        """Ask how good the parameters after ``done`` rounds are, where that is due; whether training is over."""
        due = self.stopping.due(done)
        if due is not None:
            users = self.devices.users
            question = validation.ask(self.config, due, values.astype(np.float32), users, self._carried)
            paid = self.sums.of(question, range(self.devices.size))
            self._show(paid)
            self.stopping.heard(validation.read(paid.noisy, users), values)
        return self.stopping.over

    @property
    def _carried(self) -> dict[str, NDArray[Any]]:
        """What the model is beside its trained parameters."""
        return {**self.tables, **({"frozen": self.frozen} if len(self.frozen) else {})}

    @property
    def _rows_in_a_sum(self) -> int:
        """Most rows in one training sum. Where devices hold several users, a few of them may hold nearly all."""
        one_each = self.devices.users == self.devices.size
        return self.rows // self.devices.size * self.sampler.most if one_each else self.rows

    def _metrics(self) -> Mapping[str, float | None] | None:
        if not self.config.evaluation.private_metrics:
            return None
        bits = self.config.secure_aggregation.resolution_bits
        arrays: dict[str, NDArray[Any]] = dict(self.behaviour.arrays())
        if self.model is not None:
            arrays |= {**parameters.broadcast(self.model), **self.tables}
        question = metrics_query.ask(self.config.training.rounds + 1, arrays, self.devices.users, bits)
        return metrics_query.read(self._once(question))

    def _once(self, question: Question) -> NDArray[np.float64]:
        """A query that is asked of everybody once; after a restart its noisy answer is taken from the state."""
        kept = self.state.load_answer(f"{question.query}/{question.round}")
        if kept is not None:
            return kept
        paid = self.sums.of(question, range(self.devices.size))
        self._show(paid)
        self.state.save_answer(f"{question.query}/{question.round}", paid.noisy)
        return paid.noisy

    def _show(self, paid: Paid) -> None:
        spent = self.sums.spent(paid.question)
        known = (self.model, self.behaviour, self.read, paid.noisy)
        self.observe(Step(paid.question, paid.seconds, paid.opened, paid.asked, spent, *known))


def _first_model(config: Config, features: Features) -> Recommender | None:
    """The model of round 0, its heads fitted to public content, which costs no privacy; None where none is wanted."""
    if not config.model.tower:
        return None
    model = build_model(config, features)
    if config.model.warm_start is not None:
        fit_heads(model, features.values, features.present, evenness=config.model.warm_start)
    return model
