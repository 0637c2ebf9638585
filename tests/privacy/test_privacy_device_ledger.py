"""A device's own ledger: whole or refused, and none of its limits can be talked away."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon, gaussian_noise
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import BUDGET, DeviceLedger

DELTA, ATTEMPTS = 1e-5, 3
FULL = (QueryCost("popularity", 5.0), QueryCost("training", 10.0, 4))
SAMPLED = (QueryCost("training", 1.0, 50, "poisson", 0.02),)
CYCLIC = (QueryCost("training", 5.0, 9, "cyclic", 1 / 3, 3),)
PROMISED = Agreement("promised", 2.0, DELTA)


class Settings(dict[str, str]):
    """Settings in memory."""

    def get_setting(self, name: str) -> str | None:
        return self.get(name)

    def set_setting(self, name: str, value: str) -> None:
        json.loads(value)
        self[name] = value


def trusted(
    settings: Settings,
    round: int,
    plan: tuple[QueryCost, ...] = FULL,
    *,
    query: str = "training",
    run: str = "run",
    key: str = "trusted",
    attempts: int = ATTEMPTS,
) -> None:
    """An answer whose noise is the server's."""
    agreement = Agreement(key, 9.0 if plan else None, DELTA)
    planned = next((cost for cost in plan if cost.query == query), None)
    DeviceLedger(settings).charge_trusted(agreement, planned, attempts, run=run, query=query, round=round)


def shared(
    settings: Settings, z: float, round: int = 1, *, query: str = "training", run: str = "run", of: Agreement = PROMISED
) -> None:
    """An answer whose noise the devices share."""
    DeviceLedger(settings).charge_shared(of, QueryCost(query, z), run=run, query=query, round=round)


# Noise that devices share


def test_what_is_asked_is_charged_until_the_promise_is_spent() -> None:
    settings, z = Settings(), 2 * gaussian_noise(2.0, DELTA)
    for number in range(4):
        shared(settings, z, number)
    assert DeviceLedger(settings).spent() == pytest.approx(2.0)
    kept = dict(settings)
    for noise in (z, 3 * z, 1e4):
        with pytest.raises(BudgetExceededError, match="promise would be exceeded"):
            shared(settings, noise, 4)
    assert settings == kept, "a refusal writes nothing"


def test_each_query_alone_with_the_noise_of_the_whole_budget_is_refused_together() -> None:
    settings, whole = Settings(), gaussian_noise(2.0, DELTA)
    shared(settings, whole, 0, query="popularity")
    for query in ("training", "cooccurrence", "metrics", "popularity"):
        with pytest.raises(BudgetExceededError):
            shared(settings, whole, 1, query=query)


def test_a_repeat_costs_as_much_whatever_the_run_is_called() -> None:
    settings, z = Settings(), 1.5 * gaussian_noise(2.0, DELTA)
    shared(settings, z)
    shared(settings, z, run="made up")
    with pytest.raises(BudgetExceededError):
        shared(settings, z, run="another")


def test_a_smaller_delta_under_the_same_agreement_holds_from_then_on() -> None:
    """Where delta follows from the roster, a larger roster makes it smaller."""
    settings, z = Settings(), gaussian_noise(2.0, DELTA)
    shared(settings, 4 * z, of=replace(PROMISED, delta=DELTA / 100))
    with pytest.raises(BudgetExceededError):
        shared(settings, z * 1.05)
    assert z * 1.05 / math.sqrt(1 - (1.05 / 4) ** 2) > z  # at the larger delta it would have been within


def test_settings_without_a_promise_bear_no_charge() -> None:
    with pytest.raises(PrivacyError, match="without a budget"):
        shared(Settings(), 10.0, of=Agreement("none", None, DELTA))


def test_one_agreement_has_one_budget() -> None:
    settings = Settings()
    shared(settings, 100.0)
    with pytest.raises(PrivacyError, match="two budgets"):
        shared(settings, 100.0, of=replace(PROMISED, epsilon=3.0))


# Noise of the server


def test_rows_are_kept_and_composed() -> None:
    settings = Settings()
    assert DeviceLedger(settings).spent() == 0.0
    trusted(settings, 0, query="popularity", run="a")
    for number in range(1, 5):
        trusted(settings, number)
    rows = DeviceLedger(settings).rows()
    assert [(row.query, row.round, row.run) for row in rows][:2] == [("popularity", 0, "a"), ("training", 1, "run")]
    assert {row.noise for row in rows} == {"server"}
    assert DeviceLedger(settings).spent() == pytest.approx(epsilon(FULL, DELTA))


def test_a_round_is_repeated_only_so_often_and_a_new_run_resets_nothing() -> None:
    settings = Settings()
    for again in range(ATTEMPTS):
        trusted(settings, 1, run=f"run {again}")
    with pytest.raises(BudgetExceededError, match="asked too often"):
        trusted(settings, 1, run="another")
    trusted(settings, 2, run="another")  # what was not asked before is still agreed
    spent = DeviceLedger(settings).spent()
    assert spent == pytest.approx(epsilon([QueryCost("training", 10.0, ATTEMPTS + 1)], DELTA))


def test_no_more_rounds_than_agreed() -> None:
    settings = Settings()
    for number in range(1, 5):
        trusted(settings, number)
    with pytest.raises(BudgetExceededError, match="as often as agreed"):
        trusted(settings, 5)


def test_a_sampled_round_is_paid_with_all_rounds_at_once() -> None:
    settings, planned = Settings(), epsilon(SAMPLED, DELTA)
    trusted(settings, 7, SAMPLED)
    assert DeviceLedger(settings).spent() == pytest.approx(planned)
    trusted(settings, 9, SAMPLED)
    assert DeviceLedger(settings).spent() == pytest.approx(planned)
    trusted(settings, 9, SAMPLED)  # asked again: one round more
    assert (DeviceLedger(settings).spent() or 0) > planned
    with pytest.raises(BudgetExceededError, match="own budget"):
        trusted(Settings({BUDGET: str(planned * 0.99)}), 1, SAMPLED)
    trusted(Settings({BUDGET: str(planned * 1.01)}), 1, SAMPLED)


@pytest.mark.parametrize(
    "plan",
    [
        QueryCost("training", 1.0, 50, "fixed", 0.02, secret=True),
        QueryCost("training", 2.0, 40, "balls-in-bins", 1 / 10, 10, secret=True),
        QueryCost("training", 2.0, 40, "cyclic-poisson", 0.2, 10),
    ],
)
def test_whatever_amplifies_is_paid_at_once_and_a_repeat_as_a_turn_more(plan: QueryCost) -> None:
    settings, apart = Settings(), plan.minimum_separation
    for number in (7, 7 + 2 * apart):
        trusted(settings, number, (plan,))
        assert DeviceLedger(settings).spent() == pytest.approx(epsilon([plan], DELTA))
    trusted(settings, 7, (plan,))
    more = replace(plan, rounds=plan.rounds + apart)
    assert more.participations == plan.participations + 1
    assert DeviceLedger(settings).spent() == pytest.approx(epsilon([more], DELTA))
    if apart > 1:
        with pytest.raises(BudgetExceededError, match="sooner"):
            trusted(settings, 8, (plan,))


def test_a_device_that_is_drawn_too_often_refuses() -> None:
    """At probability 0.02, an honest server draws nobody in fifteen of fifty rounds."""
    settings = Settings()
    with pytest.raises(BudgetExceededError, match="drawn more often"):
        for number in range(1, 16):
            trusted(settings, number, SAMPLED)
    assert 5 <= len(DeviceLedger(settings).rows()) < 15


def test_a_device_whose_turn_it_is_not_refuses() -> None:
    settings = Settings()
    for number in (2, 5, 8):
        trusted(settings, number, CYCLIC)
    for number in (1, 3, 7, 9):
        with pytest.raises(BudgetExceededError, match="sooner"):
            trusted(settings, number, CYCLIC)


def test_a_run_without_noise_is_recorded_and_refused_by_a_budget() -> None:
    settings = Settings()
    for number in range(1, 4):
        trusted(settings, number, (), key="bare")
    assert DeviceLedger(settings).spent() is None
    settings[BUDGET] = "5"
    for plan, key in (((), "bare"), (FULL, "trusted")):
        with pytest.raises((PrivacyError, BudgetExceededError)):
            trusted(settings, 4, plan, key=key)


# The device's own budget


def test_a_lifetime_budget_holds_over_agreements_and_counts_repeats() -> None:
    settings = Settings({BUDGET: "1.0"})
    allowed = 0
    with pytest.raises(BudgetExceededError, match="own budget"):
        for number in range(999):
            trusted(settings, 1 + number % 4, key=f"run {number // 4}")
            allowed += 1
    assert (
        epsilon([QueryCost("training", 10.0, allowed)], DELTA)
        <= 1.0
        < epsilon([QueryCost("training", 10.0, allowed + 1)], DELTA)
    )
    assert len(DeviceLedger(settings).rows()) == allowed  # a refusal writes nothing


def test_a_lifetime_budget_composes_all_kinds_of_noise() -> None:
    settings, sampled = Settings({BUDGET: "3.0"}), QueryCost("training", 2.0, 4, "poisson", 0.1)
    shared(settings, 4.0)
    DeviceLedger(settings).charge_local(Agreement("own", 3.0, 1e-6), sampled, run="r", query="training", round=1)
    trusted(settings, 1)
    together = [QueryCost("training", 4.0), sampled, QueryCost("training", 10.0)]
    assert DeviceLedger(settings).spent() == pytest.approx(epsilon(together, 1e-6))
    with pytest.raises(BudgetExceededError, match="own budget"):
        shared(settings, 1.6, of=Agreement("wide", 50.0, DELTA))


@pytest.mark.parametrize("budget", ['"much"', "0", "-1", "true"])
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    with pytest.raises(PrivacyError, match=BUDGET):
        trusted(Settings({BUDGET: budget}), 1)


# The chain


@pytest.mark.parametrize("place", range(0, 700, 23))
@pytest.mark.parametrize("number", [1, 2])
def test_any_change_is_found(place: int, number: int) -> None:
    settings = Settings()
    for round in range(1, 4):
        shared(settings, 30.0, round)
    name = f"ledger {number:08d}"
    kept = settings[name]
    body = json.loads(kept)["body"]
    place %= len(body)
    changed = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
    settings[name] = json.dumps(json.loads(kept) | {"body": changed})
    with pytest.raises(PrivacyError, match=f"row {number}"):
        DeviceLedger(settings).rows()
    if number == 2:  # a charge looks at the end of the chain, and at what it is about to add to
        with pytest.raises(PrivacyError, match="row 2"):
            shared(settings, 30.0, 4)


@pytest.mark.parametrize("name", ["ledger head", "ledger total promised"])
@pytest.mark.parametrize("spent", ["0.0", "1e-9"])
def test_a_running_total_that_was_lowered_is_found_by_the_next_charge(name: str, spent: str) -> None:
    settings = Settings()
    shared(settings, 5.0)
    settings[name] = settings[name].replace(f'"gaussian":{1 / 25.0}', f'"gaussian":{spent}')
    for look in (lambda: shared(settings, 5.0, 2), lambda: DeviceLedger(settings).rows()):
        with pytest.raises(PrivacyError, match="changed"):
            look()


def test_an_older_total_of_an_agreement_is_found() -> None:
    settings = Settings()
    shared(settings, 5.0)
    early = settings["ledger total promised"]
    shared(settings, 5.0, 2)
    shared(settings, 5.0, of=Agreement("another", 2.0, DELTA))
    settings["ledger total promised"] = early
    with pytest.raises(PrivacyError, match="row 1"):
        shared(settings, 5.0, 3)
    with pytest.raises(PrivacyError, match="running total"):
        DeviceLedger(settings).rows()


def test_rows_taken_off_the_end_are_found() -> None:
    settings = Settings()
    trusted(settings, 1)
    early = settings["ledger head"]
    trusted(settings, 2)
    late = settings.pop("ledger 00000001")
    with pytest.raises(PrivacyError, match="row 1"):
        DeviceLedger(settings).rows()
    settings["ledger 00000001"], settings["ledger head"] = late, early
    with pytest.raises(PrivacyError, match="end"):
        DeviceLedger(settings).rows()
    with pytest.raises(PrivacyError, match="end"):
        trusted(settings, 3)


def test_a_head_that_is_gone_is_found() -> None:
    settings = Settings()
    shared(settings, 5.0)
    del settings["ledger head"]
    with pytest.raises(PrivacyError, match="row 0"):
        shared(settings, 5.0, 2)


def test_a_charge_reads_as_much_after_many_rows_as_after_few() -> None:
    settings, read = Settings(), list[str]()

    class Counting(Settings):
        def get_setting(self, name: str) -> str | None:
            read.append(name)
            return settings.get_setting(name)

        def set_setting(self, name: str, value: str) -> None:
            settings.set_setting(name, value)

    counts = []
    for number in range(60):
        read.clear()
        shared(Counting(), 1e3, number)
        counts.append(len(read))
    assert counts[5] == counts[-1]
    assert len(DeviceLedger(settings).rows()) == 60


def test_a_ledger_of_another_version_is_named() -> None:
    old = {"rows": 1, "hash": "0" * 64}
    with pytest.raises(PrivacyError, match="another version"):
        DeviceLedger(Settings({"ledger head": json.dumps(old)})).rows()
