"""A server that asks for less noise than was planned, more often, or of another population than there is.

The device's ledger charges the noise of the request itself, so what is given is within what was agreed.  With the
charging of 0.1.0 in its place, which charged the plan of the settings and let each query alone have the noise of the
whole budget, each of these attacks takes several times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ledger_cases as cases
import numpy as np
import pytest

from fedrec.client import budget, request_policy
from fedrec.client.budget import AnswerCost, Population, population_said, shared_cost
from fedrec.client.device import Device
from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import BudgetExceededError, ProtocolError
from fedrec.privacy.accountant import QueryCost, gaussian_noise
from fedrec.privacy.calibrate import delta_for
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.discrete import discrete_gaussian
from fedrec.queries.plan import costs_of
from fedrec.queries.request import Request
from fedrec.queries.schedule import schedule

DEVICES, EPSILON = 400, 2.0
Asking = Callable[[Config], Iterator[tuple[Request, str]]]


def noisy(config: Config, query: str, round_number: int, noise: float, users: int = DEVICES) -> Request:
    """A request with that noise, to a cohort of all devices, of a population as it pleases the server."""
    plain = cases.request(config, query, round_number, DEVICES)
    plain = replace(plain, settings={**plain.settings, "users": users, "devices": users})
    return plain.with_noise_of_devices(config, noise, DEVICES)


def whole_budget(config: Config, query: str, users: int = DEVICES) -> float:
    """The least noise that a device of 0.1.0 let a query have: as if the budget were this query's alone."""
    delta = config.privacy.delta or delta_for(users)
    always = config.training.sampling in ("full", "fixed")
    return gaussian_noise(EPSILON, delta) * math.sqrt(config.training.rounds if query == "training" and always else 1)


def each_query_alone(config: Config) -> Iterator[tuple[Request, str]]:
    """Every request of the run, each query with the noise of the whole budget."""
    for one in schedule(config):
        yield noisy(config, one.query.name, one.round, whole_budget(config, one.query.name)), "run"


def every_turn(config: Config) -> Iterator[tuple[Request, str]]:
    """Every round of training, of a population so small that there is one group of a cyclic run only."""
    small = config.training.cohort
    for number in range(1, config.training.rounds + 1):
        yield noisy(config, "training", number, whole_budget(config, "training"), small), "run"


def false_population(config: Config) -> Iterator[tuple[Request, str]]:
    """The same request of two users, whose delta asks for little noise."""
    for one in schedule(config):
        yield noisy(config, one.query.name, one.round, whole_budget(config, one.query.name, users=2), 2), "run"
    yield noisy(config, "popularity", 0, whole_budget(config, "popularity"), 2), "run"


def made_up_runs(config: Config) -> Iterator[tuple[Request, str]]:
    """One round, of one run after another."""
    for number in range(33):
        yield noisy(config, "popularity", 0, whole_budget(config, "popularity")), f"made up {number}"


ATTACKS: dict[str, tuple[Asking, Config]] = {
    "each query alone": (each_query_alone, cases.settings(training={"rounds": 6})),
    "cyclic rounds, every one a turn": (
        every_turn,
        cases.settings(training={"rounds": 12, "sampling": "cyclic", "cohort": 40}),
    ),
    "a false population": (false_population, cases.settings(training={"rounds": 4})),
    "repeats across made-up runs": (made_up_runs, cases.settings(training={"rounds": 4})),
}


@contextmanager
def charging_of_0_1_0() -> Iterator[None]:
    """Charges are of the plan, of the server's population, and repeats are free 32 times; noise is held to that of the
    whole budget spent on one query."""

    def planned(device: Device, store: EventStore, request: Request) -> AnswerCost:
        config, said = device.device_context.config, population_said(request)
        plan = {cost.query: cost for cost in costs_of(config, said.users, said.devices)}
        agreement = Agreement("planned", config.privacy.epsilon, config.privacy.delta or delta_for(said.users))
        return AnswerCost(agreement, "server", plan[request.query], 33, request.query, request.round)

    right = request_policy._with_noise

    def with_least_noise(config: Config, request: Request, expected: Request) -> Request:
        least = whole_budget(config, request.query, population_said(request).users)
        if request.sum.noise < least * (1 - 1e-6):
            raise ProtocolError("less noise than the whole budget asks for", value=request.sum.noise)
        return right(config, request, expected)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Device, "cost", planned)
        patch.setattr(request_policy, "_with_noise", with_least_noise)
        yield


def attacked(name: str, directory: Path) -> cases.ChargedDevice:
    """A device after the attack."""
    asking, config = ATTACKS[name]
    device = cases.ChargedDevice(config, directory, *cases.roster_of(DEVICES))
    for request, run in asking(config):
        device.asked(request, run)
    return device


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_given_is_within_the_ledger_and_that_within_the_agreement(name: str, tmp_path: Path) -> None:
    device = attacked(name, tmp_path)
    assert device.given, "a device that answers nothing shows nothing"
    spent, ledger = device.truly_spent(), device.in_its_ledger()
    assert spent <= ledger * (1 + 1e-6) <= EPSILON * (1 + 2e-6)
    assert spent > 0.5 * EPSILON, "the attack does not try to spend what was agreed"


@pytest.mark.parametrize("name", ATTACKS)
def test_with_the_plan_charged_it_takes_more_than_was_agreed(name: str, tmp_path: Path) -> None:
    with charging_of_0_1_0():
        device = attacked(name, tmp_path)
    spent = device.truly_spent()
    print(f"{name}: {spent:.2f} given of {EPSILON} agreed, {len(device.given)} answers")
    assert spent > 1.5 * EPSILON


def test_the_run_that_was_planned_is_answered_to_its_end(tmp_path: Path) -> None:
    config = cases.settings(training={"rounds": 6})
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    plan = {cost.query: cost for cost in costs_of(config, DEVICES)}
    for one in schedule(config):
        assert device.asked(noisy(config, one.query.name, one.round, plan[one.query.name].noise_multiplier))
    assert device.truly_spent() == pytest.approx(EPSILON, rel=1e-6)
    assert not device.asked(noisy(config, "metrics", config.training.rounds + 1, 50.0)), "nothing is left"


def test_noise_that_no_accountant_takes_is_refused(tmp_path: Path) -> None:
    config = cases.settings()
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    for noise in (0.011, 0.1, 0.3):
        assert not device.asked(noisy(config, "popularity", 0, noise))
    assert not device.asked(cases.request(config, "popularity", 0, DEVICES)), "without any noise"
    assert device.in_its_ledger() == 0.0


def test_a_device_adds_the_noise_that_it_is_charged_for() -> None:
    """Drawn: the deviation of a device's share is the one that the cost is reckoned from."""
    config = cases.settings()
    asked = noisy(config, "popularity", 0, 9.0)
    long = replace(asked.sum, length=60_000)
    zeros = long.ring.decode(long.elements(np.zeros(long.length)), long.resolution)
    drawn = float(np.std(zeros)) / long.resolution
    assert drawn == pytest.approx(long.deviation(1) / long.resolution, rel=0.02)
    assert shared_cost(asked).noise_multiplier == pytest.approx(cases.true_noise(config, asked), rel=1e-9)
    assert shared_cost(asked).noise_multiplier == pytest.approx(9.0, rel=1e-9)
    other = discrete_gaussian(bytes(32), drawn / 1.5, long.length)
    assert float(np.std(other)) < 0.9 * drawn  # what is measured here tells one from the other


# Noise of the server: the device cannot see it, so how often it answers is what is bounded.


def test_exact_sums_of_a_round_are_given_no_more_often_than_there_are_attempts(tmp_path: Path) -> None:
    config = cases.settings(privacy={"noise_place": "server"}, training={"rounds": 2})
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    plain = cases.request(config, "popularity", 0, DEVICES)
    answers = [device.asked(plain, f"made up {number}") for number in range(12)]
    assert sum(answers) == config.secure_aggregation.attempts
    with device.store() as store:
        assert {row.noise for row in DeviceLedger(store).rows()} == {"server"}


def test_the_servers_population_changes_no_plan_of_the_device(tmp_path: Path) -> None:
    config = cases.settings(
        privacy={"noise_place": "server"}, training={"rounds": 9, "sampling": "cyclic", "cohort": 100}
    )
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    answers = []
    for number in range(1, 10):
        plain = cases.request(config, "training", number, DEVICES)
        answers.append(device.asked(replace(plain, settings={**plain.settings, "users": 100, "devices": 100})))
    assert answers == [True, False, False, False, True, False, False, False, True]  # 400 devices in 4 groups


def test_crafted_populations_cost_a_device_no_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning sampled rounds takes seconds: once for the settings, whatever is said, and it is kept over restarts."""
    planned: list[int] = []

    def counted(config: Config, users: int, devices: int | None = None) -> list[QueryCost]:
        planned.append(users)
        return costs_of(config, users, devices)

    monkeypatch.setattr(budget, "costs_of", counted)
    config = cases.settings(
        privacy={"noise_place": "server"}, training={"rounds": 9, "sampling": "poisson", "cohort": 100}
    )
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    for users in (2, 77, 12_345, 10**9):
        plain = cases.request(config, "popularity", 0, DEVICES)
        device.asked(replace(plain, settings={**plain.settings, "users": users, "devices": users}))
        budget._plan.cache_clear()  # every message may be another process
    assert planned == [DEVICES]


# Noise of the device alone


def test_noise_of_the_device_alone_is_charged_as_it_is_whatever_population_is_said(tmp_path: Path) -> None:
    config = cases.settings(
        privacy={"noise_place": "local", "unit": "example", "epsilon": EPSILON, "delta": 1e-5},
        training={"rounds": 4, "sampling": "cyclic", "cohort": 40},
        collaborative={"popularity": False, "cooccurrence": {"enabled": False}},
        evaluation={"private_metrics": False},
        model={"notes": False, "photos": False, "dimension": 8},
    )
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    vars(device.device)["device_context"] = cases.simulated(config, tmp_path)
    device.device.roster = None  # the worst case: a simulated device takes the server's word for what there is
    answers = []
    for number in range(40):
        plain = cases.request(config, "training", 1 + number % 4, DEVICES)
        said = 40 if number % 2 else 10**9
        asked = replace(plain, settings={**plain.settings, "users": said, "devices": said})
        answers.append(device.asked(asked, f"made up {number}"))
    assert any(answers)
    assert 0 < device.in_its_ledger() <= EPSILON * (1 + 1e-6)
    with device.store() as store:
        rows = DeviceLedger(store).rows()
    given = [1 / row.cost.noise_multiplier**2 for row in rows if row.cost is not None for _ in range(row.releases)]
    assert cases.epsilon_of(math.fsum(given), 1e-5) <= EPSILON * (1 + 1e-6)


def test_one_charge_too_many_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    config = cases.settings()
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    with device.store() as store:
        agreed = Agreement("a", EPSILON, 1e-3)
        ledger = DeviceLedger(store)
        cost = QueryCost("popularity", gaussian_noise(EPSILON, 1e-3))
        with store.transaction(durable=True):
            ledger.charge_shared(agreed, cost, run="run", query="popularity", round=0)
        with pytest.raises(BudgetExceededError), store.transaction(durable=True):
            ledger.charge_shared(agreed, replace(cost, noise_multiplier=1e3), run="x", query="popularity", round=0)
        assert len(ledger.rows()) == 1


def test_the_population_is_the_manifests(tmp_path: Path) -> None:
    config = cases.settings()
    device = cases.ChargedDevice(config, tmp_path, *cases.roster_of(DEVICES))
    with device.store() as store:
        cost = device.device.cost(store, noisy(config, "popularity", 0, 9.0, users=7))
    assert cost.agreement.delta == pytest.approx(DEVICES**-1.1)
    assert Population(7, 7) == population_said(noisy(config, "popularity", 0, 9.0, users=7))
