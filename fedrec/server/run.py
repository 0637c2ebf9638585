"""A run as a list of steps: what is asked of the devices, what it may cost, and what is made of the answers.

Nothing here knows how devices are reached: `Devices` is Flower's grid in production and a vectorised pass in a study.
Every opened sum goes through `PrivateAggregator.of`: noise is added and the ledger's row is written before
anything uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import item_tables, low_rank
from fedrec.collaborative import power_iteration as factors
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.content_kernel import check_prior, content_factors
from fedrec.collaborative.fold_in_factors import from_factors
from fedrec.collaborative.solve import solve
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import BudgetExceededError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.recommender import Recommender
from fedrec.model.warm_start import fit_heads
from fedrec.privacy.ledger import Ledger
from fedrec.queries import adaptive_clip as clip_rate
from fedrec.queries import cooccurrence, model_update, negatives, popularity, validation
from fedrec.queries import metrics as metrics_query
from fedrec.queries.learning_rate import share_of_rate
from fedrec.queries.optimisers import Optimiser
from fedrec.queries.request import Request
from fedrec.server.cohort_floor import check_sampled_cohorts
from fedrec.server.early_stopping import EarlyStopping
from fedrec.server.keys import RunKeys
from fedrec.server.plan import claimed, rows_of
from fedrec.server.private_aggregator import NoisyAggregate, PrivateAggregator
from fedrec.server.results import AggregateResult, Devices, Observer, RoundEvent, RunResult, bytes_up_each
from fedrec.server.sampling import Sampler
from fedrec.server.state import ServerState
from fedrec.server.tower_prior import TOWER, with_tower, without_tower

__all__ = ["Devices", "Observer", "AggregateResult", "RunResult", "FederatedRun", "RoundEvent", "bytes_up_each"]


class FederatedRun:
    """One run over a set of devices. A run that was cut off goes on where its state and ledger say.

    Raises:
        ConfigError: the settings do not fit the content or each other.
        PrivacyError: the budget cannot be met, or the ledger is not the one of the state.
    """

    private_aggregator: type[PrivateAggregator] = PrivateAggregator

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
        self.sums = self.private_aggregator(config, devices, ledger, state, self.sampler, keys, self._show)
        self.collaborative = CollaborativeFactors.empty(len(features.ids))
        self.tables = item_tables.none(config, len(features.ids))
        self.read = item_tables.extended(config, features, self.tables)
        self.model = _first_model(config, self.read)
        self.stopping = EarlyStopping(config.training, state)
        self.frozen = np.zeros(0, np.float32)
        self.deviation = 0.0
        self.solve: Callable[..., CollaborativeFactors] | None = None
        self.stopped: str | None = None
        public = without_tower(config.collaborative)
        if public.has_prior:
            check_prior(features, public.prior.modalities)

    def run(self) -> RunResult:
        """All steps, in order."""
        self.sums.authorise()
        metrics = None
        try:
            self._popularity()
            self._cooccurrence()
            self._factors()
            self.collaborative = self.collaborative.discounted(self.config.collaborative.scoring.discount)
            self._item_tables()
            self._training()
            self._tower_prior()
            metrics = self._metrics()
        except BudgetExceededError as error:
            self.stopped = str(error)
            self._tower_prior()
        with self.sums.accounting():
            costs = tuple(self.ledger.costs())
            if self.stopping.early:
                costs = tuple(claimed(tuple(self.sums.costs.values()), costs))
            kept = {"head": self.ledger.head, "rows": len(self.ledger), "users": self.devices.users}
        seconds = self.sums.accounting_seconds
        found = self.stopping.facts()
        return RunResult(self.model, self.collaborative, costs, metrics, self.read, self.stopped, kept, seconds, found)

    def _popularity(self) -> None:
        if not self.config.collaborative.popularity:
            return
        bits = self.config.secure_aggregation.resolution_bits
        ramp = self.config.collaborative.short_history_weighting
        request = popularity.ask(
            len(self.features.ids), self.devices.users, bits, unit=self.config.privacy.unit, ramp=ramp
        )
        self.deviation = self.sums.noise.deviation(request, self.devices.size)
        counts = popularity.read(self._once(request))
        none = np.zeros((len(counts), 0), np.float32)
        self.collaborative = CollaborativeFactors(none, none, counts.astype(np.float32))

    def _cooccurrence(self) -> None:
        settings = self.config.collaborative
        if not settings.cooccurrence.enabled:
            return
        counts = self.collaborative.popularity.astype(np.float64)
        items = cooccurrence.taking_part(counts, settings.cooccurrence.items)
        request = cooccurrence.ask(
            items,
            self.devices.users,
            settings,
            unit=self.config.privacy.unit,
            noisy=bool(self.sums.costs),
            resolution_bits=self.config.secure_aggregation.resolution_bits,
        )
        matrix = cooccurrence.read(self._once(request))
        sigma = self.sums.noise.deviation(request, self.devices.size)
        denoised = cooccurrence.denoise(matrix, sigma)
        noisy = "cooccurrence" in self.sums.costs
        self.solve = partial(solve, counts, denoised, items, noisy=noisy)
        self.collaborative = self.solve(without_tower(settings), features=self.features)

    def _tower_prior(self) -> None:
        """Solve once more, where the prior is to know what the tower has learned; both are paid for already."""
        settings = self.config.collaborative
        if self.solve is None or self.model is None or TOWER not in settings.prior.modalities:
            return
        solved = self.solve(settings, features=with_tower(self.features, self.read, self.model))
        self.collaborative = solved.discounted(settings.scoring.discount)

    def _factors(self) -> None:
        settings, users = self.config.collaborative, self.devices.users
        iteration, solver = settings.power_iteration, settings.solver
        if not settings.power_iteration.enabled:
            return
        counts = self.collaborative.popularity.astype(np.float64)
        mass = low_rank.mass_of(counts, users)
        content = content_factors(self.features, settings.prior)
        expected = factors.Expected.of(mass, counts, content)
        asked = factors.first(expected, iteration.rank, iteration.whitening, iteration.item_weighting)
        for number in range(1, iteration.steps + 1):
            found = self._found(factors.ask(self.config, "directions", number, asked, users), asked, expected)
            asked = factors.following(asked, found, iteration.rank, iteration.whitening)
        found = self._found(factors.ask(self.config, "factors", 0, asked, users), asked, expected)
        whole = low_rank.joined(
            asked.centre, counts, found.factors, content, mass, scale=iteration.scale, prior=settings.prior.weight
        )
        if solver.method == "als":
            self.collaborative = low_rank.factorise(counts, whole, solver.ridge, solver.rank)
        else:
            self.collaborative = low_rank.solve_low_rank(counts, whole, mass, solver.ridge, solver.rank)
        if settings.fold_in is not None:
            self.collaborative = replace(self.collaborative, factors=from_factors(whole, mass, settings.fold_in))

    def _found(
        self, request: Request, asked: factors.Directions, expected: factors.Expected
    ) -> factors.PowerIterationResult:
        sigma = self.sums.noise.deviation(request, self.devices.size)
        return factors.read(self._once(request), asked, expected, sigma)

    def _item_tables(self) -> None:
        """Extend what the tower reads by what the sums say of the items; a model that reads it starts from it."""
        if item_tables.names(self.config):
            self.tables = item_tables.tables_of(self.config, self.collaborative, self.deviation)
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
        weights = negatives.weights_of(self.collaborative.popularity, settings.pool_power) if by_use else None
        self.frozen = self.state.load_frozen(parameters.flatten_frozen(self.model))
        parameters.unflatten_frozen(self.model, self.frozen)
        done, values, optimiser, clip = self.state.load_training(values, optimiser, privacy.clip)
        number = done
        while not self._validated(number, values) and number < settings.rounds:
            number += 1
            request = model_update.ask(
                self.config,
                number,
                values.astype(np.float32),
                len(self.features.ids),
                self._rows_in_a_sum,
                clip,
                weights=weights,
                carried=self._carried,
            )
            aggregate = self.sums.of(request, self.sampler.cohort(number))
            gradient = model_update.mean_gradient(aggregate.noisy[: len(values)], expected)
            values = optimiser.step(values, gradient, share_of_rate(number, settings))
            if privacy.adaptive_clip is not None:
                clip = clip_rate.next_clip(clip, float(aggregate.noisy[-1]), expected, privacy.adaptive_clip)
            parameters.unflatten(self.model, values)
            self._show(aggregate)
            self.state.save_training(number, values, optimiser, clip)
        parameters.unflatten(self.model, values if self.stopping.best is None else self.stopping.values)
        self.state.forget_secret()

    def _validated(self, done: int, values: NDArray[np.float64]) -> bool:
        """Ask how good the parameters after ``done`` rounds are, where that is due; whether training is over."""
        due = self.stopping.due(done)
        if due is not None:
            users = self.devices.users
            request = validation.ask(self.config, due, values.astype(np.float32), users, self._carried)
            aggregate = self.sums.of(request, range(self.devices.size))
            self._show(aggregate)
            self.stopping.heard(validation.read(aggregate.noisy, users), values)
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
        arrays: dict[str, NDArray[Any]] = dict(self.collaborative.arrays())
        if self.model is not None:
            arrays |= {**parameters.broadcast(self.model), **self.tables}
        request = metrics_query.ask(self.config.training.rounds + 1, arrays, self.devices.users, bits)
        return metrics_query.read(self._once(request))

    def _once(self, request: Request) -> NDArray[np.float64]:
        """A query that is asked of everybody once; after a restart its noisy answer is taken from the state."""
        kept = self.state.load_answer(f"{request.query}/{request.round}")
        if kept is not None:
            return kept
        aggregate = self.sums.of(request, range(self.devices.size))
        self._show(aggregate)
        self.state.save_answer(f"{request.query}/{request.round}", aggregate.noisy)
        return aggregate.noisy

    def _show(self, aggregate: NoisyAggregate) -> None:
        spent = self.sums.spent(aggregate.request)
        known = (self.model, self.collaborative, self.read, aggregate.noisy)
        self.observe(RoundEvent(aggregate.request, aggregate.seconds, aggregate.opened, aggregate.asked, spent, *known))


def _first_model(config: Config, features: Features) -> Recommender | None:
    """The model of round 0, its heads fitted to public content, which costs no privacy; None where none is wanted."""
    if not config.model.tower:
        return None
    model = build_model(config, features)
    if config.model.warm_start is not None:
        fit_heads(model, features.values, features.present, evenness=config.model.warm_start)
    return model
