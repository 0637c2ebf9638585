"""A run as a list of steps: what is asked of the devices, what it may cost, and what is made of the answers.

Nothing here knows how devices are reached: `Devices` is Flower's grid in production and a vectorised pass in a study.
Every opened sum goes through `PaidSums.of`: noise is added and the ledger's row is written before anything uses it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation import clip_rate, cooccurrence, factors, low_rank, metrics_query, model_update, popularity
from fedrec.aggregation.behaviour import Behaviour
from fedrec.aggregation.optimisers import Optimiser
from fedrec.aggregation.question import Question
from fedrec.aggregation.solve import check_prior, content_factors, solve
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
from server.plan import rows_of
from server.sampling import Sampler
from server.state import ServerState
from server.steps import Devices, Observer, Opened, Outcome, Step, bytes_up_each

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
        self.model = _first_model(config, features)
        self.stopped: str | None = None
        if config.behaviour.factors or (config.behaviour.cooccurrence and config.behaviour.prior > 0):
            check_prior(features, config.behaviour.prior_modalities)

    def conduct(self) -> Outcome:
        """All steps, in order."""
        self.sums.authorise()
        metrics = None
        try:
            self._popularity()
            self._cooccurrence()
            self._factors()
            self.behaviour = self.behaviour.discounted(self.config.behaviour.discount)
            self._training()
            metrics = self._metrics()
        except BudgetExceededError as error:
            self.stopped = str(error)
        with self.sums.accounting():
            spends = tuple(self.ledger.spends())
            kept = {"head": self.ledger.head, "rows": len(self.ledger), "users": self.devices.users}
        return Outcome(self.model, self.behaviour, spends, metrics, self.stopped, kept, self.sums.accounting_seconds)

    def _popularity(self) -> None:
        if not self.config.behaviour.popularity:
            return
        bits = self.config.secure_aggregation.resolution_bits
        ramp = self.config.behaviour.ramp
        question = popularity.ask(
            len(self.features.ids), self.devices.users, bits, unit=self.config.privacy.unit, ramp=ramp
        )
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
        self.behaviour = solve(
            counts, denoised, items, settings, features=self.features, noisy="cooccurrence" in self.sums.spends
        )

    def _factors(self) -> None:
        settings, users = self.config.behaviour, self.devices.users
        if not settings.factors:
            return
        counts = self.behaviour.popularity.astype(np.float64)
        mass = low_rank.mass_of(counts, users)
        content = content_factors(self.features, settings.prior_modalities)
        asked = factors.first(mass, counts, content, settings.factor_rank, settings.whitening)
        for number in range(1, settings.directions + 1):
            found = self._found(factors.ask(self.config, "directions", number, asked, users), asked, mass)
            asked = factors.following(asked.centre, found, settings.factor_rank, settings.whitening)
        found = self._found(factors.ask(self.config, "factors", 0, asked, users), asked, mass)
        whole = low_rank.joined(
            asked.centre, counts, found.factors, content, mass, scale=settings.factor_scale, prior=settings.prior
        )
        self.behaviour = low_rank.solve_low_rank(counts, whole, mass, settings.ridge, settings.rank)

    def _found(self, question: Question, asked: factors.Directions, mass: NDArray[np.float64]) -> factors.Found:
        sigma = self.sums.noise.deviation(question, self.devices.size)
        return factors.read(self._once(question), asked, mass, sigma)

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
            paid = self.sums.of(question, self.sampler.cohort(number))
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
        kept = self.state.load_answer(f"{question.query}/{question.round}")
        if kept is not None:
            return kept
        paid = self.sums.of(question, range(self.devices.size))
        self._show(paid)
        self.state.save_answer(f"{question.query}/{question.round}", paid.noisy)
        return paid.noisy

    def _show(self, paid: Paid) -> None:
        spent = self.sums.spent(paid.question)
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
