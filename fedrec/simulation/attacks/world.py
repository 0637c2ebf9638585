"""A federation as an adversary meets it: what reaches the server in a round of training, by defence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import item_tables
from fedrec.config import CollaborativeSettings, Config
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.recommender import Recommender
from fedrec.model.warm_start import fit_heads
from fedrec.queries.model_update import MODEL_UPDATE, log_inclusion
from fedrec.queries.plan import costs_of, rows_of
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.schedule import make_request
from fedrec.server.keys import RunKeys
from fedrec.server.noise import ServerNoise
from fedrec.server.state import ServerState
from fedrec.simulation.attacks.result import Defence
from fedrec.simulation.study import Study
from fedrec.training.learner import Learner
from fedrec.users import UserBatch

EPSILON: dict[Defence, float | None] = {"plain": None, "secagg": None, "user-dp-8": 8.0, "user-dp-1": 1.0}


def defended(config: Config, defence: Defence, *, seed: int) -> Config:
    """The config behind a defence: its epsilon, user-level, with delta N^-1.1 and noise that ``seed`` fixes."""
    epsilon = EPSILON[defence]
    collaborative = config.collaborative if epsilon is None else with_bounded_parts(config.collaborative)
    update = {"epsilon": epsilon, "unit": "user", "delta": None, "noise_place": "server"}
    return config.model_copy(
        update={
            "run": config.run.model_copy(update={"seed": seed, "reproducible": True, "engine": "cohort"}),
            "collaborative": collaborative,
            "privacy": config.privacy.model_copy(update=update),
        }
    )


def with_bounded_parts(collaborative: CollaborativeSettings) -> CollaborativeSettings:
    """The settings with parts of co-occurrence whose norm is at most 1, as noise needs them."""
    whole = collaborative.cooccurrence.model_copy(update={"normalise": 1.0})
    return collaborative.model_copy(update={"cooccurrence": whole})


def training_only(config: Config) -> Config:
    """The config with nothing asked but training: all of the budget, and so the least noise, is on the updates."""
    sums = config.collaborative
    off = sums.model_copy(
        update={
            "popularity": False,
            "feature_columns": 0,
            "cooccurrence": sums.cooccurrence.model_copy(update={"enabled": False}),
            "power_iteration": sums.power_iteration.model_copy(update={"enabled": False, "steps": 0}),
        }
    )
    reads = tuple(name for name in config.model.reads if name != "behaviour")
    return config.model_copy(
        update={
            "collaborative": off,
            "model": config.model.model_copy(update={"tower": True, "reads": reads, "graph": "none"}),
            "training": config.training.model_copy(update={"pool": "uniform", "stopping": None}),
            "privacy": config.privacy.model_copy(update={"shares": {"training": 1.0}}),
            "evaluation": config.evaluation.model_copy(update={"private_metrics": False}),
        }
    )


@dataclass(frozen=True, eq=False)
class AttackedTraining:
    """The training of a federation at its first parameters, round by round.

    Args:
        config: as `defended` and `training_only` made it.
        study: whose federation.
        population: the devices' users; the study's own unless an attack plants something.
        one_pool: the server sends the first round's negatives in every round, so that rounds differ by what devices
            draw for themselves only.
    """

    config: Config
    study: Study
    population: UserBatch
    one_pool: bool = False
    learner: Learner = field(init=False)
    model: Recommender = field(init=False)
    values: NDArray[np.float32] = field(init=False)
    noise: ServerNoise = field(init=False)

    def __post_init__(self) -> None:
        features = item_tables.extended(self.config, self.study.features, {})
        model = build_model(self.config, features)
        if self.config.model.warm_start is not None:
            fit_heads(model, features.values, features.present, evenness=self.config.model.warm_start)
        costs = {cost.query: cost for cost in costs_of(self.config, len(self.population))}
        noise = ServerNoise(self.config, costs, RunKeys(self.config, ServerState(None, "attack")))
        # Apart from the learner's, whose hooks for gradients a row would be in the way of an adversary's own.
        object.__setattr__(self, "model", model)
        learner = Learner(self.config, features)
        parameters.unflatten_frozen(learner.model, parameters.flatten_frozen(model))
        object.__setattr__(self, "learner", learner)
        object.__setattr__(self, "values", parameters.flatten(model))
        object.__setattr__(self, "noise", noise)

    def request(self, number: int) -> Request:
        """What the server asks in that round."""
        rows = rows_of(self.config, len(self.population))
        said = Broadcast({"parameters": self.values})
        return make_request(MODEL_UPDATE, self.config, number, said, rows, self.study.features, number=number)

    def update(self, user: int, number: int) -> NDArray[np.float64]:
        """One device's contribution [P], which without secure aggregation the server sees as it is."""
        return self._sum(self.population.take(np.array([user])), self.request(number))

    def opened(self, cohort: Sequence[int] | NDArray[np.int64] | None, number: int) -> NDArray[np.float64]:
        """The sum [P] over the devices of the cohort (None = all), with the noise of the defence, if it has any."""
        asked = self.population if cohort is None else self.population.take(np.asarray(cohort, np.int64))
        request = self.request(number)
        return self._sum(asked, request) + self.noise.of(request)

    def _sum(self, asked: UserBatch, request: Request) -> NDArray[np.float64]:
        source = self.request(1) if self.one_pool else request
        pool, inclusion = source.arrays["pool"], log_inclusion(self.config, source, len(self.study.features))
        return self.learner.update(asked, self.values, pool, request.round, inclusion=inclusion).gradient
