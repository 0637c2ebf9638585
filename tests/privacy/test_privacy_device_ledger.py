"""A device's own ledger: whole or refused, and neither of its budgets can be talked away."""

from __future__ import annotations

import json

import pytest

from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.privacy.accountant import Spend, epsilon
from fedrec.privacy.device_ledger import BUDGET, REPEATS, Agreement, DeviceLedger

DELTA = 1e-5
FULL = Agreement("full", (Spend("popularity", 5.0), Spend("training", 10.0, 4)), DELTA)
SAMPLED = Agreement("sampled", (Spend("training", 1.0, 50, "poisson", 0.02),), DELTA)
CYCLIC = Agreement("cyclic", (Spend("training", 5.0, 9, "cyclic", 1 / 3, 3),), DELTA)
BARE = Agreement("bare", (), DELTA)


class Shelf(dict[str, str]):
    """Settings in memory."""

    def get_setting(self, name: str) -> str | None:
        return self.get(name)

    def set_setting(self, name: str, value: str) -> None:
        json.loads(value)
        self[name] = value


def train(shelf: Shelf, round: int, agreement: Agreement = FULL, run: str = "run") -> None:
    DeviceLedger(shelf).charge(agreement, run=run, query="training", round=round)


def test_rows_are_kept_and_composed() -> None:
    shelf = Shelf()
    assert DeviceLedger(shelf).spent() == 0.0
    DeviceLedger(shelf).charge(FULL, run="a", query="popularity", round=0)
    for number in range(1, 5):
        train(shelf, number)
    rows = DeviceLedger(shelf).rows()
    assert [(row.query, row.round, row.run) for row in rows][:2] == [("popularity", 0, "a"), ("training", 1, "run")]
    assert DeviceLedger(shelf).spent() == pytest.approx(epsilon(FULL.plan, DELTA))


def test_questions_are_repeated_only_so_often_and_a_new_run_resets_nothing() -> None:
    shelf = Shelf()
    train(shelf, 1)
    for again in range(REPEATS):
        train(shelf, 1, run=f"run {again}")
    with pytest.raises(BudgetExceededError, match="repeated too often"):
        train(shelf, 1, run="another")
    train(shelf, 2, run="another")  # what was not asked before is still agreed
    spent = DeviceLedger(shelf).spent()
    assert spent == pytest.approx(epsilon([Spend("training", 10.0, REPEATS + 2)], DELTA))


def test_no_more_rounds_than_agreed() -> None:
    shelf = Shelf()
    for number in range(1, 5):
        train(shelf, number)
    with pytest.raises(BudgetExceededError, match="as often as agreed"):
        train(shelf, 5)


def test_a_lifetime_budget_holds_over_agreements_and_counts_repeats() -> None:
    shelf = Shelf({BUDGET: "1.0"})
    allowed = 0
    with pytest.raises(BudgetExceededError, match="own budget"):
        for number in range(999):
            train(shelf, 1 + number % 4, Agreement(f"run {number // 4}", FULL.plan, DELTA))
            allowed += 1
    assert (
        epsilon([Spend("training", 10.0, allowed)], DELTA)
        <= 1.0
        < epsilon([Spend("training", 10.0, allowed + 1)], DELTA)
    )
    assert len(DeviceLedger(shelf).rows()) == allowed  # a refusal writes nothing


def test_a_sampled_round_is_paid_with_all_rounds_at_once() -> None:
    shelf, planned = Shelf(), epsilon(SAMPLED.plan, DELTA)
    train(shelf, 7, SAMPLED)
    assert DeviceLedger(shelf).spent() == pytest.approx(planned)
    train(shelf, 9, SAMPLED)
    assert DeviceLedger(shelf).spent() == pytest.approx(planned)
    train(shelf, 9, SAMPLED)  # asked again: one round more
    assert (DeviceLedger(shelf).spent() or 0) > planned
    with pytest.raises(BudgetExceededError, match="own budget"):
        train(Shelf({BUDGET: str(planned * 0.99)}), 1, SAMPLED)
    train(Shelf({BUDGET: str(planned * 1.01)}), 1, SAMPLED)


def test_a_device_that_is_drawn_too_often_refuses() -> None:
    """At probability 0.02, an honest server draws nobody in fifteen of fifty rounds."""
    shelf = Shelf()
    with pytest.raises(BudgetExceededError, match="drawn more often"):
        for number in range(1, 16):
            train(shelf, number, SAMPLED)
    assert 5 <= len(DeviceLedger(shelf).rows()) < 15


def test_a_device_whose_turn_it_is_not_refuses() -> None:
    shelf = Shelf()
    for number in (2, 5, 8):
        train(shelf, number, CYCLIC)
    for number in (1, 3, 7, 9):
        with pytest.raises(BudgetExceededError, match="sooner"):
            train(shelf, number, CYCLIC)


def test_a_run_without_noise_is_recorded_and_refused_by_a_budget() -> None:
    shelf = Shelf()
    for number in range(1, 4):
        train(shelf, number, BARE)
    assert DeviceLedger(shelf).spent() is None
    shelf[BUDGET] = "5"
    for agreement in (BARE, FULL):
        with pytest.raises(PrivacyError):
            train(shelf, 4, agreement)


@pytest.mark.parametrize("budget", ['"much"', "0", "-1", "true"])
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    with pytest.raises(PrivacyError, match=BUDGET):
        train(Shelf({BUDGET: budget}), 1)


@pytest.mark.parametrize("place", range(0, 400, 23))
def test_any_change_is_found(place: int) -> None:
    shelf = Shelf()
    for number in range(1, 4):
        train(shelf, number)
    kept = shelf["ledger 00000001"]
    body = json.loads(kept)["body"]
    place %= len(body)
    changed = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
    shelf["ledger 00000001"] = json.dumps(json.loads(kept) | {"body": changed})
    with pytest.raises(PrivacyError, match="row 1"):
        DeviceLedger(shelf).rows()
    with pytest.raises(PrivacyError):
        train(shelf, 4)


def test_rows_taken_off_the_end_are_found() -> None:
    shelf = Shelf()
    train(shelf, 1)
    early = shelf["ledger head"]
    train(shelf, 2)
    late = shelf.pop("ledger 00000001")
    with pytest.raises(PrivacyError, match="row 1"):
        DeviceLedger(shelf).rows()
    shelf["ledger 00000001"], shelf["ledger head"] = late, early
    with pytest.raises(PrivacyError, match="end"):
        DeviceLedger(shelf).rows()
