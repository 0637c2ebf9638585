"""Early stopping on private validation sums: what is asked, kept and charged, also when the server is cut off."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import federation_cases as cases
import numpy as np
import pytest
import query_cases
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st

from fedrec.client.budget import Population, answer_cost
from fedrec.client.query_handler import QueryHandler
from fedrec.client.request_policy import check_agreed
from fedrec.config import Config, TrainingSettings, from_tree
from fedrec.data.store import EventStore
from fedrec.errors import BudgetExceededError, ConfigError, ProtocolError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.privacy.accountant import epsilon, gaussian_noise
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.device.validation import validation_rows
from fedrec.queries.plan import costs_of
from fedrec.queries.query import NoisySum
from fedrec.queries.request import Request
from fedrec.queries.run_state import RunState
from fedrec.queries.schedule import schedule
from fedrec.queries.validation import VALIDATION
from fedrec.server.results import RoundEvent, RunResult
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study
from fedrec.users import Histories

SHARES = {"popularity": 0.1, "cooccurrence": 0.3, "training": 0.4, "validation": 0.15, "metrics": 0.05}


# Steps so large that they only do harm: the first request finds the best, and patience ends soon.
HARM = {"learning_rate": 30.0}


def a_config(every: int = 1, patience: int = 2, rounds: int = 8, **sections: object) -> Config:
    stopping = {"every": every, "patience": patience}
    training = {"rounds": rounds, "stopping": stopping, **dict(sections.pop("training", {}))}  # type: ignore[call-overload]
    return cases.settings(training=training, privacy={"shares": SHARES}, **sections)  # type: ignore[arg-type]


@pytest.mark.parametrize(("every", "rounds", "after"), [(2, 6, (2, 4, 6)), (4, 6, (4, 6)), (9, 6, (6,)), (1, 0, ())])
def test_questions_come_every_so_many_rounds_and_after_the_last(
    every: int, rounds: int, after: tuple[int, ...]
) -> None:
    config = a_config(every=every, rounds=rounds)
    assert config.training.validated == after
    planned = {cost.query: cost.rounds for cost in costs_of(config, 24)}
    assert planned.get("validation", 0) == len(after)


def test_a_start_that_training_makes_worse_is_released(federation_study: Study, tmp_path: Path) -> None:
    """Before the first round, too: steps that only do harm end, cost no more than they took, and are forgotten."""
    stopping = {"every": 1, "patience": 2, "start": True}
    config = a_config(rounds=6, training={**HARM, "stopping": stopping})
    assert config.training.validated == (0, 1, 2, 3, 4, 5, 6)
    begun = RunState(config, federation_study.features, cases.USERS, cases.USERS)
    begun.open_training()
    outcome, steps = run(federation_study, config, tmp_path)
    asked = [(step.request.query, step.request.round) for step in steps]
    first = asked.index(("validation", 1))
    assert first < asked.index(("training", 1))
    assert steps[first].request.settings["after"] == 0
    np.testing.assert_array_equal(steps[first].request.arrays["parameters"], begun.training.values.astype(np.float32))
    found = outcome.validation
    assert found is not None and outcome.model is not None
    measures = found["measures"]
    assert found["best_round"] == found["rounds"][int(np.argmax(measures))]
    trained = [number for query, number in asked if query == "training"]
    assert len(trained) == len(measures) - 1
    (best,) = [s for s in steps if s.request.settings.get("after") == found["best_round"]]
    np.testing.assert_array_equal(best.request.arrays["parameters"], parameters.flatten(outcome.model))


def test_without_stopping_nothing_is_asked_or_planned() -> None:
    assert TrainingSettings().validated == ()
    assert "validation" not in {cost.query for cost in costs_of(cases.settings(), 24)}
    with pytest.raises(ConfigError, match="local"):
        local = {"noise_place": "local", "unit": "example"}
        from_tree({**cases.SETTINGS, "privacy": local, "training": {"stopping": {}}})


@given(
    scores=st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=14, max_size=14), min_size=1, max_size=4),
    targets=st.lists(st.integers(-1, 13), min_size=4, max_size=4),
)
@few(max_examples=60)
def test_what_a_user_adds_is_the_hit_and_the_share_below(scores: list[list[float]], targets: list[int]) -> None:
    """Against counting one by one; each entry in 0 to 1, so that a row over sqrt(2) has norm 1 at most."""
    users = len(scores)
    histories = Histories.of([[place for place in (2, 5) if place != targets[user]] for user in range(users)])
    target, pool = np.array(targets[:users], np.int32), np.arange(1, 13, dtype=np.int32)
    values = np.array(scores, np.float32)
    rows = validation_rows(values, histories, target, pool, k=3)
    assert ((rows >= 0) & (rows <= 1)).all()
    for user in range(users):
        if target[user] < 0:
            assert not rows[user].any()
            continue
        rivals = [p for p in pool if p not in (*histories[user], target[user])]
        mine = values[user, target[user]]
        below = sum(float(values[user, p] < mine) + 0.5 * float(values[user, p] == mine) for p in rivals)
        better, equal = sum(values[user, p] > mine for p in rivals), sum(values[user, p] == mine for p in rivals)
        assert rows[user, 1] == pytest.approx(below / len(rivals))
        assert rows[user, 0] == pytest.approx(np.clip((3 - better) / (equal + 1), 0, 1))


def test_a_contribution_is_the_mean_over_those_who_hold_something_back(federation_study: Study) -> None:
    config, study = a_config(), federation_study
    values = parameters.flatten(build_model(config, study.features))
    request = query_cases.validated(config, 3, values, len(study.features), cases.USERS)
    handler, people = QueryHandler(config, study.features), study.population
    whole = handler.answer(request, people)
    alone = [handler.answer(request, people.take(np.array([user]))) for user in range(len(people))]
    np.testing.assert_allclose(whole, np.sum(alone, axis=0), atol=1e-9)
    assert max(np.linalg.norm(row) for row in alone) <= request.sum.bound == 1
    state = RunState(config, study.features, len(people), len(people))
    state.open_training()
    assert 0.1 < VALIDATION.decode(state, NoisySum(request, whole, 0.0)) <= 1
    assert state.stopping.measures == [pytest.approx(float(whole.sum()) / (2**0.5 * len(people)))]
    nobody = replace(people, held_out=np.full(len(people), -1, np.int32))
    assert not handler.answer(request, nobody).any()


def test_a_device_agrees_to_the_questions_of_its_settings_only() -> None:
    config = a_config(every=3, rounds=8)
    values = np.zeros(5, np.float32)
    catalogue = query_cases.catalogue(40)
    asked = [query_cases.validated(config, number, values, 40, 24) for number in (1, 2, 3)]
    assert [request.settings["after"] for request in asked] == [3, 6, 8]
    for request in asked:
        check_agreed(config, request, catalogue)
    bad: list[Request] = [
        replace(asked[0], round=4),
        replace(asked[0], round=0),
        replace(asked[0], settings={"after": 4}),
        replace(asked[0], number=asked[1].number),
        replace(asked[0], sum=replace(asked[0].sum, bound=2.0)),
        replace(asked[0], arrays={**asked[0].arrays, "pool": np.zeros(3, np.int32)}),
    ]
    for request in bad:
        with pytest.raises(ProtocolError):
            check_agreed(config, request, catalogue)
    with pytest.raises(ProtocolError):
        check_agreed(cases.settings(), asked[0], catalogue)


def test_a_device_answers_validations_until_what_their_noise_costs_is_spent(tmp_path: Path) -> None:
    """Noise that devices share: as large as planned, it is enough for every round; smaller, for as many as it is."""
    config = a_config(every=2, rounds=8, secure_aggregation={"resolution_bits": None})
    shared = {"noise_place": "distributed", "delta": 1e-4}
    config = config.model_copy(update={"privacy": config.privacy.model_copy(update=shared)})
    planned = {cost.query: cost.noise_multiplier for cost in costs_of(config, 24)}["validation"]
    whole_budget = gaussian_noise(cases.EPSILON, 1e-4)  # enough for one request, and not for two
    for noise, wanted in ((planned, 4), (whole_budget * 1.001, 1), (whole_budget * 1.9, 3)):
        with EventStore.create(tmp_path / f"{wanted}.sqlite") as store:
            assert validations_answered(config, store, noise) == wanted


def validations_answered(config: Config, store: EventStore, noise: float) -> int:
    agreement, answered = Agreement("settings", config.privacy.epsilon, 1e-4), 0
    for number in range(1, 5):
        request = query_cases.validated(config, number, np.zeros(5, np.float32), 40, 24)
        request = request.with_noise_of_devices(config, noise, 24)
        check_agreed(config, request, query_cases.catalogue(40))
        try:
            answer_cost(store, config, agreement, request, Population(24, 24)).charge(store, "run")
        except BudgetExceededError:
            continue
        answered += 1
    return answered


def test_sums_keep_numbers_that_only_go_up() -> None:
    config = a_config(every=2, rounds=5)
    values = np.zeros(2, np.float32)
    order: list[Request] = []
    for number in range(1, 6):
        order.append(query_cases.training(config, number, values, 40, 9))
        if number in config.training.validated:
            place = config.training.validated.index(number)
            order.append(query_cases.validated(config, place + 1, values, 40, 9))
    order.append(query_cases.metrics(config, {}, 40, 9))
    numbers = [request.number for request in order]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == len(schedule(config)) - 1


@given(
    measures=st.lists(st.floats(-1, 2), min_size=1, max_size=8),
    patience=st.integers(1, 4),
    least=st.sampled_from([0.0, 0.1]),
)
@few(max_examples=50)
def test_the_best_is_kept_and_patience_ends(measures: list[float], patience: int, least: float) -> None:
    config = from_tree(
        {
            "training": {"rounds": 8, "stopping": {"every": 1, "patience": patience, "least": least}},
            "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
        }
    )
    with ServerState(None, "a test") as kept, mock.patch("fedrec.queries.run_state.first_model", return_value=None):
        waited, best = 0, -1
        for number, measure in enumerate(measures, start=1):
            state = RunState(config, query_cases.catalogue(3), 1, 1)  # as after a restart
            checkpoint = kept.load_checkpoint("validation")
            done = 0 if checkpoint is None else VALIDATION.restore(state, checkpoint)
            stopping = state.stopping
            assert not stopping.over
            assert not VALIDATION.over(state, number)
            assert done == number - 1 == max(kept.last_checkpoint("validation"), 0)
            stopping.record(measure, np.array([float(number)]))
            kept.save_checkpoint("validation", number, VALIDATION.checkpoint(state))
            better = best < 0 or measure > measures[best] + least
            best, waited = (number - 1, 0) if better else (best, waited + 1)
            assert (stopping.best, stopping.over) == (best, waited >= patience)
            assert stopping.values.tolist() == [best + 1]
            assert stopping.early == (stopping.over and number < 8)
            assert VALIDATION.over(state, number + 1) is stopping.over
            if stopping.over:
                break


class Cut(BaseException):
    """Stands for the server being killed."""


def run(
    study: Study, config: Config, out: Path, cut_after: tuple[str, int] | None = None
) -> tuple[RunResult, list[RoundEvent]]:
    devices = CohortDevices(config, study.features, study.population)
    steps: list[RoundEvent] = []

    def observe(step: RoundEvent) -> None:
        steps.append(step)
        if cut_after == (step.request.query, step.request.round):
            raise Cut

    return cases.run(config, study, devices, out, observe), steps


def test_a_run_that_gets_worse_stops_and_releases_its_best(federation_study: Study, tmp_path: Path) -> None:
    config = a_config(rounds=12, training=HARM)
    outcome, steps = run(federation_study, config, tmp_path)
    found = outcome.validation
    assert found is not None
    assert found["stopped_early"]
    asked = [(step.request.query, step.request.round) for step in steps]
    trained = [number for query, number in asked if query == "training"]
    assert trained == list(range(1, found["rounds"][-1] + 1))
    assert len(trained) < 12
    assert asked[-1] == ("metrics", 13)
    # The parameters that were asked about after the best round are the ones released.
    best = found["rounds"].index(found["best_round"]) + 1
    (request,) = [s.request for s in steps if (s.request.query, s.request.round) == ("validation", best)]
    assert outcome.model is not None
    assert np.array_equal(request.arrays["parameters"], parameters.flatten(outcome.model))
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        charged = {cost.query: cost.rounds for cost in ledger.costs()}
        spent = ledger.spent()
    assert charged["training"] == charged["validation"] == len(trained)
    # What was not asked is not charged; but the claim is of all that could have been.
    assert spent is not None
    assert spent < 0.95 * cases.EPSILON
    assert epsilon(outcome.costs, delta_of(config, cases.USERS)) == pytest.approx(cases.EPSILON, rel=1e-3)


@pytest.mark.slow
def test_a_run_that_is_cut_off_ends_as_if_it_had_not_been(federation_study: Study, tmp_path: Path) -> None:
    config = a_config(rounds=6, training=HARM)
    whole, steps = run(federation_study, config, tmp_path / "whole")
    places = [(step.request.query, step.request.round) for step in steps if step.request.round]
    assert whole.model is not None
    for name, cut in zip(itertools.count(), places, strict=False):
        out = tmp_path / f"cut {name}"
        with pytest.raises(Cut):
            run(federation_study, config, out, cut)
        again, _ = run(federation_study, config, out)
        assert again.validation == whole.validation
        assert again.costs == whole.costs
        assert again.model is not None
        assert np.array_equal(parameters.flatten(again.model), parameters.flatten(whole.model))


def test_the_measure_is_json(federation_study: Study, tmp_path: Path) -> None:
    outcome, _ = run(federation_study, a_config(every=2, patience=9, rounds=4), tmp_path)
    assert outcome.validation is not None
    assert json.loads(json.dumps(outcome.validation)) == outcome.validation
    assert outcome.validation["rounds"] == [2, 4]
    assert not outcome.validation["stopped_early"]
