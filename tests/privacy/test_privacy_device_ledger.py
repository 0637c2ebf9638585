"""A device's own ledger: whole or refused, and neither of its budgets can be talked away."""

from __future__ import annotations

import json

import pytest

from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.device_ledger import BUDGET, REPEATS, Agreement, DeviceLedger

DELTA = 1e-5
FULL = Agreement("full", (QueryCost("popularity", 5.0), QueryCost("training", 10.0, 4)), DELTA)
SAMPLED = Agreement("sampled", (QueryCost("training", 1.0, 50, "poisson", 0.02),), DELTA)
CYCLIC = Agreement("cyclic", (QueryCost("training", 5.0, 9, "cyclic", 1 / 3, 3),), DELTA)
BARE = Agreement("bare", (), DELTA)


class ServerCatalogue(dict[str, str]):
    """Settings in memory."""

    def get_setting(self, name: str) -> str | None:
        return self.get(name)

    def set_setting(self, name: str, value: str) -> None:
        json.loads(value)
        self[name] = value


def train(server_catalogue: ServerCatalogue, round: int, agreement: Agreement = FULL, run: str = "run") -> None:
    DeviceLedger(server_catalogue).charge(agreement, run=run, query="training", round=round)


def test_rows_are_kept_and_composed() -> None:
    server_catalogue = ServerCatalogue()
    assert DeviceLedger(server_catalogue).spent() == 0.0
    DeviceLedger(server_catalogue).charge(FULL, run="a", query="popularity", round=0)
    for number in range(1, 5):
        train(server_catalogue, number)
    rows = DeviceLedger(server_catalogue).rows()
    assert [(row.query, row.round, row.run) for row in rows][:2] == [("popularity", 0, "a"), ("training", 1, "run")]
    assert DeviceLedger(server_catalogue).spent() == pytest.approx(epsilon(FULL.plan, DELTA))


def test_questions_are_repeated_only_so_often_and_a_new_run_resets_nothing() -> None:
    server_catalogue = ServerCatalogue()
    train(server_catalogue, 1)
    for again in range(REPEATS):
        train(server_catalogue, 1, run=f"run {again}")
    with pytest.raises(BudgetExceededError, match="repeated too often"):
        train(server_catalogue, 1, run="another")
    train(server_catalogue, 2, run="another")  # what was not asked before is still agreed
    spent = DeviceLedger(server_catalogue).spent()
    assert spent == pytest.approx(epsilon([QueryCost("training", 10.0, REPEATS + 2)], DELTA))


def test_no_more_rounds_than_agreed() -> None:
    server_catalogue = ServerCatalogue()
    for number in range(1, 5):
        train(server_catalogue, number)
    with pytest.raises(BudgetExceededError, match="as often as agreed"):
        train(server_catalogue, 5)


def test_a_lifetime_budget_holds_over_agreements_and_counts_repeats() -> None:
    server_catalogue = ServerCatalogue({BUDGET: "1.0"})
    allowed = 0
    with pytest.raises(BudgetExceededError, match="own budget"):
        for number in range(999):
            train(server_catalogue, 1 + number % 4, Agreement(f"run {number // 4}", FULL.plan, DELTA))
            allowed += 1
    assert (
        epsilon([QueryCost("training", 10.0, allowed)], DELTA)
        <= 1.0
        < epsilon([QueryCost("training", 10.0, allowed + 1)], DELTA)
    )
    assert len(DeviceLedger(server_catalogue).rows()) == allowed  # a refusal writes nothing


def test_a_sampled_round_is_paid_with_all_rounds_at_once() -> None:
    server_catalogue, planned = ServerCatalogue(), epsilon(SAMPLED.plan, DELTA)
    train(server_catalogue, 7, SAMPLED)
    assert DeviceLedger(server_catalogue).spent() == pytest.approx(planned)
    train(server_catalogue, 9, SAMPLED)
    assert DeviceLedger(server_catalogue).spent() == pytest.approx(planned)
    train(server_catalogue, 9, SAMPLED)  # asked again: one round more
    assert (DeviceLedger(server_catalogue).spent() or 0) > planned
    with pytest.raises(BudgetExceededError, match="own budget"):
        train(ServerCatalogue({BUDGET: str(planned * 0.99)}), 1, SAMPLED)
    train(ServerCatalogue({BUDGET: str(planned * 1.01)}), 1, SAMPLED)


def test_a_device_that_is_drawn_too_often_refuses() -> None:
    """At probability 0.02, an honest server draws nobody in fifteen of fifty rounds."""
    server_catalogue = ServerCatalogue()
    with pytest.raises(BudgetExceededError, match="drawn more often"):
        for number in range(1, 16):
            train(server_catalogue, number, SAMPLED)
    assert 5 <= len(DeviceLedger(server_catalogue).rows()) < 15


def test_a_device_whose_turn_it_is_not_refuses() -> None:
    server_catalogue = ServerCatalogue()
    for number in (2, 5, 8):
        train(server_catalogue, number, CYCLIC)
    for number in (1, 3, 7, 9):
        with pytest.raises(BudgetExceededError, match="sooner"):
            train(server_catalogue, number, CYCLIC)


def test_a_run_without_noise_is_recorded_and_refused_by_a_budget() -> None:
    server_catalogue = ServerCatalogue()
    for number in range(1, 4):
        train(server_catalogue, number, BARE)
    assert DeviceLedger(server_catalogue).spent() is None
    server_catalogue[BUDGET] = "5"
    for agreement in (BARE, FULL):
        with pytest.raises(PrivacyError):
            train(server_catalogue, 4, agreement)


@pytest.mark.parametrize("budget", ['"much"', "0", "-1", "true"])
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    with pytest.raises(PrivacyError, match=BUDGET):
        train(ServerCatalogue({BUDGET: budget}), 1)


@pytest.mark.parametrize("place", range(0, 400, 23))
def test_any_change_is_found(place: int) -> None:
    server_catalogue = ServerCatalogue()
    for number in range(1, 4):
        train(server_catalogue, number)
    kept = server_catalogue["ledger 00000001"]
    body = json.loads(kept)["body"]
    place %= len(body)
    changed = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
    server_catalogue["ledger 00000001"] = json.dumps(json.loads(kept) | {"body": changed})
    with pytest.raises(PrivacyError, match="row 1"):
        DeviceLedger(server_catalogue).rows()
    with pytest.raises(PrivacyError):
        train(server_catalogue, 4)


def test_rows_taken_off_the_end_are_found() -> None:
    server_catalogue = ServerCatalogue()
    train(server_catalogue, 1)
    early = server_catalogue["ledger head"]
    train(server_catalogue, 2)
    late = server_catalogue.pop("ledger 00000001")
    with pytest.raises(PrivacyError, match="row 1"):
        DeviceLedger(server_catalogue).rows()
    server_catalogue["ledger 00000001"], server_catalogue["ledger head"] = late, early
    with pytest.raises(PrivacyError, match="end"):
        DeviceLedger(server_catalogue).rows()
