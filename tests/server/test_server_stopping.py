"""Early stopping on private validation sums: what is asked, kept and charged, also when the server is cut off."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st

from client.agreement import check_agreed
from client.respond import Respondent
from fedrec.aggregation import validation
from fedrec.aggregation.question import Question
from fedrec.aggregation.secure_wire import number_of
from fedrec.config import Config, TrainingSettings, from_tree
from fedrec.errors import ConfigError, ProtocolError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.privacy.accountant import epsilon, gaussian_noise
from fedrec.privacy.ledger import Ledger
from fedrec.ranking.private_metrics import validation_contribution
from fedrec.ranking.users import Histories
from server.plan import delta_of, spends_of
from server.run import Outcome, Step
from server.state import ServerState
from server.stopping import Stopping
from simulations.engines.cohort import CohortDevices
from simulations.study import Study

SHARES = {"popularity": 0.1, "cooccurrence": 0.3, "training": 0.4, "validation": 0.15, "metrics": 0.05}


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
    planned = {spend.query: spend.rounds for spend in spends_of(config, 24)}
    assert planned.get("validation", 0) == len(after)


def test_without_stopping_nothing_is_asked_or_planned() -> None:
    assert TrainingSettings().validated == ()
    assert "validation" not in {spend.query for spend in spends_of(cases.settings(), 24)}
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
    rows = validation_contribution(values, histories, target, pool, k=3)
    assert ((rows >= 0) & (rows <= 1)).all()
    for user in range(users):
        if target[user] < 0:
            assert not rows[user].any()
            continue
        rivals = [p for p in pool if p not in (*histories.items[histories.rows() == user], target[user])]
        mine = values[user, target[user]]
        below = sum(float(values[user, p] < mine) + 0.5 * float(values[user, p] == mine) for p in rivals)
        better, equal = sum(values[user, p] > mine for p in rivals), sum(values[user, p] == mine for p in rivals)
        assert rows[user, 1] == pytest.approx(below / len(rivals))
        assert rows[user, 0] == pytest.approx(np.clip((3 - better) / (equal + 1), 0, 1))


def test_a_contribution_is_the_mean_over_those_who_hold_something_back(federation_study: Study) -> None:
    config, study = a_config(), federation_study
    values = parameters.flatten(build_model(config, study.features))
    question = validation.ask(config, 3, values, cases.USERS)
    respondent, people = Respondent(config, study.features), study.population
    whole = respondent.answer(question, people)
    alone = [respondent.answer(question, people.select(np.array([user]))) for user in range(len(people))]
    np.testing.assert_allclose(whole, np.sum(alone, axis=0), atol=1e-9)
    assert max(np.linalg.norm(row) for row in alone) <= question.sum.bound == 1
    assert 0.1 < validation.read(whole, len(people)) <= 1
    nobody = replace(people, held_out=np.full(len(people), -1, np.int32))
    assert not respondent.answer(question, nobody).any()


def test_a_device_agrees_to_the_questions_of_its_settings_only() -> None:
    config = a_config(every=3, rounds=8)
    values = np.zeros(5, np.float32)
    asked = [validation.ask(config, number, values, 24) for number in (1, 2, 3)]
    assert [question.settings["after"] for question in asked] == [3, 6, 8]
    for question in asked:
        check_agreed(config, question, 40)
    bad: list[Question] = [
        replace(asked[0], round=4),
        replace(asked[0], round=0),
        replace(asked[0], settings={"after": 4}),
        replace(asked[0], sum=replace(asked[0].sum, bound=2.0)),
        replace(asked[0], arrays={**asked[0].arrays, "pool": np.zeros(3, np.int32)}),
    ]
    for question in bad:
        with pytest.raises(ProtocolError):
            check_agreed(config, question, 40)
    with pytest.raises(ProtocolError):
        check_agreed(cases.settings(), asked[0], 40)


def test_shares_of_noise_are_held_to_as_many_questions_as_can_be_asked() -> None:
    """Noise that devices add themselves: enough for all questions of the plan, or no device answers."""
    config = a_config(every=2, rounds=8, secure_aggregation={"resolution_bits": None})
    shared = {"noise_place": "distributed", "delta": 1e-4}
    config = config.model_copy(update={"privacy": config.privacy.model_copy(update=shared)})
    planned = {spend.query: spend.noise_multiplier for spend in spends_of(config, 24)}["validation"]
    question = validation.ask(config, 2, np.zeros(5, np.float32), 24)
    check_agreed(config, question.shared(config, planned, 24), 40)
    whole_budget = gaussian_noise(cases.EPSILON, 1e-4)  # enough for one question, and not for four
    for noise in (whole_budget, whole_budget * 1.9):
        with pytest.raises(ProtocolError, match="noise"):
            check_agreed(config, question.shared(config, noise, 24), 40)


def test_sums_keep_numbers_that_only_go_up() -> None:
    config = a_config(every=2, rounds=5)
    training = replace(validation.ask(config, 1, np.zeros(2, np.float32), 9), query="training", settings={})
    order: list[Question] = []
    for number in range(1, 6):
        order.append(replace(training, round=number))
        if number in config.training.validated:
            place = config.training.validated.index(number)
            order.append(validation.ask(config, place + 1, np.zeros(2, np.float32), 9))
    order.append(replace(training, query="metrics", round=6))
    numbers = [number_of(question) for question in order]
    assert numbers == sorted(set(numbers))


@given(
    measures=st.lists(st.floats(-1, 2), min_size=1, max_size=8),
    patience=st.integers(1, 4),
    least=st.sampled_from([0.0, 0.1]),
)
@few(max_examples=50)
def test_the_best_is_kept_and_patience_ends(measures: list[float], patience: int, least: float) -> None:
    settings = TrainingSettings.model_validate(
        {"rounds": 8, "stopping": {"every": 1, "patience": patience, "least": least}}
    )
    with ServerState(None, "a test") as state:
        waited, best = 0, -1
        for number, measure in enumerate(measures, start=1):
            stopping = Stopping(settings, state)  # as after a restart
            assert not stopping.over
            assert stopping.due(number) == number
            assert stopping.due(number - 1) is None
            stopping.heard(measure, np.array([float(number)]))
            better = best < 0 or measure > measures[best] + least
            best, waited = (number - 1, 0) if better else (best, waited + 1)
            assert (stopping.best, stopping.over) == (best, waited >= patience)
            assert stopping.values.tolist() == [best + 1]
            assert stopping.early == (stopping.over and number < 8)
            if stopping.over:
                break


class Cut(BaseException):
    """Stands for the server being killed."""


def conduct(
    study: Study, config: Config, out: Path, cut_after: tuple[str, int] | None = None
) -> tuple[Outcome, list[Step]]:
    devices = CohortDevices(config, study.features, study.population)
    steps: list[Step] = []

    def observe(step: Step) -> None:
        steps.append(step)
        if cut_after == (step.question.query, step.question.round):
            raise Cut

    return cases.conduct(config, study, devices, out, observe), steps


# Steps so large that they only do harm: the first question finds the best, and patience ends soon.
HARM = {"learning_rate": 30.0}


def test_a_run_that_gets_worse_stops_and_releases_its_best(federation_study: Study, tmp_path: Path) -> None:
    config = a_config(rounds=12, training=HARM)
    outcome, steps = conduct(federation_study, config, tmp_path)
    found = outcome.validation
    assert found is not None
    assert found["stopped_early"]
    asked = [(step.question.query, step.question.round) for step in steps]
    trained = [number for query, number in asked if query == "training"]
    assert trained == list(range(1, found["rounds"][-1] + 1))
    assert len(trained) < 12
    assert asked[-1] == ("metrics", 13)
    # The parameters that were asked about after the best round are the ones released.
    best = found["rounds"].index(found["best_round"]) + 1
    (question,) = [s.question for s in steps if (s.question.query, s.question.round) == ("validation", best)]
    assert outcome.model is not None
    assert np.array_equal(question.arrays["parameters"], parameters.flatten(outcome.model))
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        charged = {spend.query: spend.rounds for spend in ledger.spends()}
        spent = ledger.spent()
    assert charged["training"] == charged["validation"] == len(trained)
    # What was not asked is not charged; but the claim is of all that could have been.
    assert spent is not None
    assert spent < 0.95 * cases.EPSILON
    assert epsilon(outcome.spends, delta_of(config, cases.USERS)) == pytest.approx(cases.EPSILON, rel=1e-3)


def test_a_run_that_is_cut_off_ends_as_if_it_had_not_been(federation_study: Study, tmp_path: Path) -> None:
    config = a_config(rounds=6, training=HARM)
    whole, steps = conduct(federation_study, config, tmp_path / "whole")
    places = [(step.question.query, step.question.round) for step in steps if step.question.round]
    assert whole.model is not None
    for name, cut in zip(itertools.count(), places, strict=False):
        out = tmp_path / f"cut {name}"
        with pytest.raises(Cut):
            conduct(federation_study, config, out, cut)
        again, _ = conduct(federation_study, config, out)
        assert again.validation == whole.validation
        assert again.spends == whole.spends
        assert again.model is not None
        assert np.array_equal(parameters.flatten(again.model), parameters.flatten(whole.model))


def test_the_measure_is_json(federation_study: Study, tmp_path: Path) -> None:
    outcome, _ = conduct(federation_study, a_config(every=2, patience=9, rounds=4), tmp_path)
    assert outcome.validation is not None
    assert json.loads(json.dumps(outcome.validation)) == outcome.validation
    assert outcome.validation["rounds"] == [2, 4]
    assert not outcome.validation["stopped_early"]
