"""The tower's item vectors in the content kernel of power iteration: before training and after, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.collaborative.content_kernel import content_factors
from fedrec.collaborative.power_iteration import Expected
from fedrec.collaborative.reading import PaidFactors, read
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.model.recommender import Recommender
from fedrec.queries.run_state import RunState, first_model
from fedrec.ranking.tower import TowerScorer
from fedrec.server.results import RoundEvent
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

COLLABORATIVE: dict[str, Any] = {
    "cooccurrence": {"enabled": False},
    "power_iteration": {"enabled": True, "rank": 4},
    "prior": {"weight": 0.8, "modalities": {"text": 1.0, "tower": 2.0}, "sharpness": 1.0},
    "scoring": {"weight": 1.0, "discount": 0.2},
}
SHARES = {"popularity": 0.2, "factors": 0.4, "training": 0.3, "metrics": 0.1}


def config_of(rounds: int, **prior: Any) -> Config:
    shares = SHARES if rounds else {name: share for name, share in SHARES.items() if name != "training"}
    return cases.settings(
        collaborative={**COLLABORATIVE, **prior},
        model={"head_rank": 6, "head_bias": False, "dimension": 6},
        training={"rounds": rounds, "learning_rate": 5.0},
        privacy={"shares": shares},
    )


def with_tower(features: Features, model: Recommender | None) -> Features:
    assert model is not None
    vectors = TowerScorer(model, features, history=1).vectors().numpy()
    there = {**features.present, "tower": vectors.any(axis=1)}
    return replace(features, values={**features.values, "tower": vectors}, present=there)


def run(config: Config, study: Study, out: Path) -> tuple[Any, list[RoundEvent]]:
    steps: list[RoundEvent] = []
    devices = CohortDevices(config, study.features, study.population)
    return cases.run(config, study, devices, out, steps.append), steps


def test_directions_begin_with_the_untrained_tower(federation_study: Study) -> None:
    config, features = config_of(0), federation_study.features
    state = RunState(config, features, cases.USERS, cases.USERS)
    known = with_tower(features, first_model(config, features))
    iteration = state.power_iteration
    expected = content_factors(known, config.collaborative.prior)
    np.testing.assert_allclose(iteration.content @ iteration.content.T, expected @ expected.T, atol=1e-9)
    alone = {"prior": {"weight": 0.8, "modalities": {"tower": 1.0}}}
    assert RunState(config_of(0, **alone), features, cases.USERS, cases.USERS).power_iteration.content.shape[1] == 6


@pytest.mark.slow
def test_the_sums_are_read_again_with_what_the_tower_learned(federation_study: Study, tmp_path: Path) -> None:
    config = config_of(2)
    outcome, steps = run(config, federation_study, tmp_path / "run")
    at = {step.request.query: step for step in steps}
    before, after = at["factors"].collaborative, outcome.collaborative
    assert not np.allclose(before.history @ before.candidate.T, after.history @ after.candidate.T, atol=1e-3)
    # The same, from the noisy sums and the trained tower alone.
    features, settings = federation_study.features, config.collaborative
    state = RunState(config, features, cases.USERS, cases.USERS)
    state.collaborative = replace(state.collaborative, popularity=after.popularity)
    begun, asked = state.power_iteration, at["factors"]
    sigma = max(cost.noise_multiplier for cost in outcome.costs if cost.query == "factors")
    found = begun.found(asked.noisy, sigma * asked.request.sum.sensitivity).factors
    learned = with_tower(features, outcome.model)
    mass, popularity = begun.expected.mass, after.popularity.astype(np.float64)
    content = content_factors(learned, settings.prior)
    centre = Expected.of(mass, popularity, content).centre
    expected = read(PaidFactors(popularity, centre, mass, found, content), settings, learned)
    np.testing.assert_allclose(
        after.history @ after.candidate.T, expected.history @ expected.candidate.T, rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
def test_an_untrained_tower_in_the_kernel_costs_nothing(federation_study: Study, tmp_path: Path) -> None:
    _, without = run(
        cases.settings(
            collaborative={**COLLABORATIVE, "prior": {"weight": 0.8, "modalities": {"text": 1.0}}},
            model={"tower": False, "notes": False, "photos": False},
            privacy={"shares": SHARES},
        ),
        federation_study,
        tmp_path / "without",
    )
    outcome, steps = run(config_of(0), federation_study, tmp_path / "untrained")
    assert [step.request.query for step in steps] == [step.request.query for step in without]
    assert steps[-1].epsilon_spent == pytest.approx(without[-1].epsilon_spent)
    assert outcome.model is not None
