"""Local noise: planned to the promise, composed in the device's ledger, refused when it is spent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import dp_accounting
import pytest
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant

from fedrec.config import Config, from_tree
from fedrec.errors import BudgetExceededError, ConfigError, PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import BUDGET, DeviceLedger
from fedrec.privacy.local import known_count, local_cost, probability_of, promise_of, promise_said
from fedrec.privacy.page import facts_of, page_of
from fedrec.privacy.statement import privacy_statement
from fedrec.queries.plan import costs_of, rows_of

DELTA = 1e-4
AGREEMENT = Agreement("settings", 4.0, DELTA)


def config(**privacy: Any) -> Config:
    return from_tree(tree(**privacy))


def tree(**privacy: Any) -> dict[str, Any]:
    chosen = {"unit": "example", "epsilon": 4.0, "delta": DELTA, "noise_place": "local", **privacy}
    return {
        "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
        "training": {"rounds": 5},
        "privacy": chosen,
    }


class ServerCatalogue(dict[str, str]):
    """Settings in memory, as a device's store keeps them."""

    def get_setting(self, name: str) -> str | None:
        return self.get(name)

    def set_setting(self, name: str, value: str) -> None:
        self[name] = value


def turn(
    server_catalogue: ServerCatalogue, cost: QueryCost, round: int, *, budget: float = 4.0, run: str = "run"
) -> None:
    agreement = replace(AGREEMENT, epsilon=budget)
    DeviceLedger(server_catalogue).charge_local(agreement, cost, run=run, query="training", round=round)


@given(st.integers(0, 10**6))
def test_only_the_power_of_two_is_known(count: int) -> None:
    known = known_count(count)
    assert known & (known - 1) == 0
    assert known <= max(1, count) < 2 * known


def test_all_rounds_together_cost_the_promise_and_no_more() -> None:
    chosen = config(local={"steps": 3})
    cost = local_cost(chosen, 40, 100)
    assert cost == local_cost(chosen, 7, 100)  # a step takes all interactions, however many there are
    assert cost is not None
    assert (cost.rounds, cost.sampling) == (3, "full")
    whole = epsilon([QueryCost("training", cost.noise_multiplier, 15)], DELTA)
    assert 4.0 * 0.999 < whole <= 4.0


@pytest.mark.parametrize(("interactions", "probability"), [(9, 1.0), (40, 0.25), (63, 0.25), (64, 0.125)])
def test_sampled_steps_cost_what_other_accountants_say(interactions: int, probability: float) -> None:
    """Composed by dp-accounting's RDP (an upper bound) and Opacus' PRV, which know nothing of our planner."""
    chosen = config(local={"steps": 4, "batch": 8})
    assert probability_of(chosen, interactions) == probability
    cost = local_cost(chosen, interactions, 100)
    assert cost is not None
    steps, z = 4 * 5, cost.noise_multiplier
    prv = PRVAccountant()
    prv.history = [(z, probability, steps)]
    found = float(prv.get_epsilon(delta=DELTA))
    assert found == pytest.approx(4.0, rel=0.02)
    rdp = RdpAccountant()
    event = dp_accounting.PoissonSampledDpEvent(probability, dp_accounting.GaussianDpEvent(z))
    rdp.compose(dp_accounting.SelfComposedDpEvent(event, steps))
    assert rdp.get_epsilon(DELTA) >= 4.0 * 0.99


def test_cyclic_cohorts_cost_less_noise() -> None:
    each = local_cost(config(), 40, 100)
    participations = from_tree({**tree(), "training": {"rounds": 10, "cohort": 50, "sampling": "cyclic"}})
    assert each is not None
    assert local_cost(participations, 40, 100) == each  # 10 rounds of which each device is in 5


def test_the_ledger_composes_rounds_over_runs_and_restarts() -> None:
    server_catalogue = ServerCatalogue()
    cost = QueryCost("training", 3.0, 2, "poisson", 0.25)
    turn(server_catalogue, cost, 1)
    turn(server_catalogue, cost, 2)
    again = ServerCatalogue(json.loads(json.dumps(server_catalogue)))  # the device restarts: only the store is left
    turn(again, cost, 1, run="another")
    assert DeviceLedger(again).last_local("settings") == cost
    prv = PRVAccountant()
    prv.history = [(3.0, 0.25, 6)]
    spent = DeviceLedger(again).spent()
    assert spent == epsilon([QueryCost("training", 3.0, 6, "poisson", 0.25)], DELTA)
    assert spent == pytest.approx(float(prv.get_epsilon(delta=DELTA)), rel=0.02)


def test_a_device_refuses_when_the_promise_is_spent_whatever_the_run_is_called() -> None:
    chosen, server_catalogue = config(), ServerCatalogue()
    cost = local_cost(chosen, 40, 100)
    assert cost is not None
    for number in range(1, 5):
        turn(server_catalogue, cost, number)
    turn(server_catalogue, cost, 4, run="again")  # a repeat draws noise anew and costs as much
    before = dict(server_catalogue)
    for round, run in ((5, "run"), (1, "another"), (4, "run")):
        with pytest.raises(BudgetExceededError, match="what these settings promise would be exceeded"):
            turn(server_catalogue, cost, round, run=run)
    assert server_catalogue == before
    assert DeviceLedger(server_catalogue).spent() == pytest.approx(4.0, rel=1e-3)


def test_another_amount_of_noise_under_the_same_settings_is_composed_too() -> None:
    server_catalogue = ServerCatalogue()
    turn(server_catalogue, QueryCost("training", 2.0), 1)
    spent = epsilon([QueryCost("training", 2.0)], DELTA)
    assert spent < 4.0
    with pytest.raises(BudgetExceededError):
        turn(server_catalogue, QueryCost("training", 0.9), 2)
    turn(server_catalogue, QueryCost("training", 50.0), 2)


def test_the_devices_own_budget_counts_local_rounds() -> None:
    server_catalogue = ServerCatalogue()
    server_catalogue.set_setting(BUDGET, "2")
    cost = QueryCost("training", 3.0)
    with pytest.raises(BudgetExceededError, match="own budget"):
        for number in range(1, 9):
            turn(server_catalogue, cost, number, budget=100.0)
    spent = DeviceLedger(server_catalogue).spent()
    assert spent is not None
    assert 1.0 < spent <= 2.0


def test_a_round_that_is_taken_out_or_changed_is_found() -> None:
    server_catalogue = ServerCatalogue()
    turn(server_catalogue, QueryCost("training", 30.0), 1)
    turn(server_catalogue, QueryCost("training", 30.0), 2)
    for name in [name for name in server_catalogue if name.startswith("ledger 0")]:
        broken = ServerCatalogue(server_catalogue)
        broken[name] = broken[name].replace("30.0", "90.0")
        with pytest.raises(PrivacyError, match="missing or was changed"):
            DeviceLedger(broken).rows()


def test_the_server_plans_no_noise_and_says_the_promise() -> None:
    chosen = config()
    assert costs_of(chosen, 100) == []
    assert rows_of(chosen, 100) == 100
    assert promise_of(chosen) == {"epsilon": 4.0, "delta": DELTA, "unit": "example"}
    assert promise_said(chosen) == {"noise_place": "local", "epsilon": 4.0, "delta": DELTA, "unit": "example"}
    assert promise_said(Config()) == {}
    assert local_cost(config(epsilon=None), 40, 100) is None


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        ("privacy", "unit", "user", "unit"),
        ("privacy", "delta", None, "privacy.delta"),
        ("collaborative", "popularity", True, "collaborative.popularity"),
        ("collaborative", "cooccurrence", {"enabled": True}, "cooccurrence"),
        ("evaluation", "private_metrics", True, "private_metrics"),
        ("model", "notes", True, "notes"),
        ("audit", "canaries", 100, "canaries"),
    ],
)
def test_what_local_noise_does_not_cover_is_refused(section: str, key: str, value: object, told: str) -> None:
    chosen = tree()
    chosen.setdefault(section, {})[key] = value
    with pytest.raises(ConfigError, match=told):
        from_tree(chosen)


@pytest.mark.parametrize("protocol", ["none", "secagg+"])
def test_the_statement_is_one_epsilon_towards_everybody(protocol: str) -> None:
    stated = privacy_statement([], unit="example", delta=DELTA, protocol=protocol, noise_place="local", promised=4.0)
    assert (stated["epsilon_released"], stated["epsilon_server"]) == (4.0, 4.0)
    assert stated["epsilon_server_reason"] is None
    assert "DP-SGD of each device" in stated["mechanism"]
    assert not any(line.startswith("the server") for line in stated["trust"])
    facts = facts_of({**stated, "ledger": {"rows": 5, "head": "0"}}, population=100, name="small", verified=[])
    page = page_of(facts)
    assert page.count("**epsilon = 4**") == 2
    assert "Each device's ledger has its rounds" in page
    none = privacy_statement([], unit="example", delta=DELTA, protocol=protocol, noise_place="local", promised=None)
    assert none["epsilon_released"] is None


@given(st.floats(0.5, 20), st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_every_planned_round_fits_and_one_more_does_not(target: float, rounds: int, steps: int) -> None:
    chosen = from_tree({**tree(epsilon=target, local={"steps": steps}), "training": {"rounds": rounds}})
    cost, server_catalogue = local_cost(chosen, 5, 10), ServerCatalogue()
    assert cost is not None
    for number in range(1, rounds + 1):
        turn(server_catalogue, cost, number, budget=target)
    with pytest.raises(BudgetExceededError):
        turn(server_catalogue, cost, rounds + 1, budget=target)
