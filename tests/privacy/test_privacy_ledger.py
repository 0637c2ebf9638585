"""The ledger: budgets hold, rows cannot be changed unseen, and no release ever lacks its row."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.calibrate import plan
from fedrec.privacy.chain import Chain
from fedrec.privacy.ledger import SCHEMA, Budget, Ledger

BUDGET = Budget(3.0, 1e-5, "user")
ROUND = QueryCost("training", 20.0)
SAMPLED = QueryCost("training", 1.0, 1, "poisson", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_charges_are_written_composed_and_read_back(path: Path) -> None:
    with Ledger.open(path, BUDGET) as ledger:
        assert ledger.spent() == 0.0
        first = ledger.charge(QueryCost("popularity", 9.0), round=0, detail={"length": 7})
        second = ledger.charge(ROUND, round=1)
        assert ledger.entries() == [first, second]
    with Ledger.open(path) as again:
        assert again.budget == BUDGET
        assert again.entries() == [first, second]
        assert (first.number, first.query, first.round, first.detail) == (1, "popularity", 0, {"length": 7})
        assert again.spent() == epsilon([QueryCost("popularity", 9.0), ROUND], BUDGET.delta)
        assert again.charged("training") == 1
        assert sorted(s.query for s in again.costs()) == ["popularity", "training"]


def test_charges_stop_at_the_budget_and_write_nothing_beyond(path: Path) -> None:
    with Ledger.open(path, BUDGET) as ledger:
        large = QueryCost("training", 8.0)
        allowed = next(n for n in range(1, 999) if epsilon([QueryCost("training", 8.0, n + 1)], BUDGET.delta) > 3.0)
        for number in range(allowed):
            ledger.charge(large, round=number)
        head = ledger.head
        with pytest.raises(BudgetExceededError, match="budget"):
            ledger.charge(large, round=allowed)
        assert ledger.head == head
        assert len(ledger.entries()) == allowed
        spent = ledger.spent()
        assert spent is not None
        assert spent <= 3.0
        ledger.charge(QueryCost("metrics", 1e6), round=0)  # what is left still bears something tiny


def test_a_budget_holds_across_restarts(path: Path) -> None:
    for number in range(3):
        with Ledger.open(path, Budget(1.0, 1e-5, "user")) as ledger:
            if number < 2:
                ledger.charge(QueryCost("training", 5.5), round=number)
            else:
                with pytest.raises(BudgetExceededError):
                    ledger.charge(QueryCost("training", 5.5), round=number)


@pytest.mark.parametrize("other", [Budget(3.1, 1e-5, "user"), Budget(3.0, 2e-5, "user"), Budget(3.0, 1e-5, "example")])
def test_a_budget_never_changes(path: Path, other: Budget) -> None:
    Ledger.open(path, BUDGET).close()
    with pytest.raises(PrivacyError, match="another budget"):
        Ledger.open(path, other)
    Ledger.open(path, BUDGET).close()


def test_a_ledger_without_budget_claims_nothing(path: Path) -> None:
    with Ledger.open(path) as ledger:
        entry = ledger.record("training", round=4)
        assert entry.cost is None
        assert ledger.spent() is None
        assert ledger.entries() == [entry]
        with pytest.raises(PrivacyError, match="no charge"):
            ledger.charge(ROUND, round=5)
        with pytest.raises(PrivacyError):
            ledger.authorise([ROUND])
    body = sqlite3.connect(path).execute("SELECT body FROM chain WHERE number = 1").fetchone()[0]
    assert json.loads(body)["cost"] == {"noise_multiplier": None}
    with pytest.raises(PrivacyError, match="another budget"):
        Ledger.open(path, BUDGET)


def test_a_release_without_noise_breaks_a_budget(path: Path) -> None:
    with Ledger.open(path, BUDGET) as ledger:
        with pytest.raises(PrivacyError, match="without noise"):
            ledger.record("training", round=0)
        assert ledger.entries() == []


def test_an_authorised_plan_is_spent_to_its_end_and_not_beyond(path: Path) -> None:
    costs = plan(3.0, 1e-5, {"popularity": 1, "training": 2}, {"popularity": 1, "training": 5}, {})
    with Ledger.open(path, BUDGET) as ledger:
        assert 2.997 < ledger.authorise(costs) <= 3.0
        popularity, training = (QueryCost(s.query, s.noise_multiplier) for s in costs)
        with pytest.raises(BudgetExceededError):
            ledger.charge(QueryCost("metrics", 5.0), round=0)  # would leave too little for what is authorised
        for number in range(5):
            ledger.charge(training, round=number)
        ledger.charge(popularity, round=0)
        for cost in (popularity, training):
            with pytest.raises(BudgetExceededError):
                ledger.charge(cost, round=9)
        assert ledger.spent() == pytest.approx(3.0, rel=1e-3)


def test_a_plan_counts_what_was_spent_before(path: Path) -> None:
    with Ledger.open(path, BUDGET) as ledger:
        ledger.charge(QueryCost("training", 4.0), round=0)
        rest = plan(3.0, 1e-5, {"training": 1}, {"training": 5}, {})
        with pytest.raises(BudgetExceededError, match="already spent"):
            ledger.authorise(rest)
        ledger.authorise([QueryCost("training", 30.0, 5)])


def test_authorised_sampled_rounds_are_charged_without_accounting_each_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounted: list[int] = []

    def counting(costs: Sequence[QueryCost], delta: float) -> float:
        accounted.append(len(costs))
        return epsilon(costs, delta)

    with Ledger.open(path, BUDGET) as ledger:
        ledger.authorise([QueryCost("training", 1.0, 100, "poisson", 0.01)])
        monkeypatch.setattr("fedrec.privacy.ledger.epsilon", counting)
        for number in range(100):
            ledger.charge(SAMPLED, round=number)
        assert accounted == []
        assert ledger.spent() == epsilon([QueryCost("training", 1.0, 100, "poisson", 0.01)], BUDGET.delta)
        assert accounted  # so it is this name by which the ledger accounts


def test_two_processes_share_one_budget(path: Path) -> None:
    """Two open ledgers on a file: each sees what the other spent, and an authorisation does not outlive it."""
    half = QueryCost("training", 1.7)
    with Ledger.open(path, BUDGET) as one, Ledger.open(path, BUDGET) as two:
        one.authorise([half])
        two.charge(half, round=0)
        with pytest.raises(BudgetExceededError):
            one.charge(half, round=1)
        assert one.spent() == two.spent()
        one.charge(QueryCost("metrics", 50.0), round=0)
        assert [entry.number for entry in two.entries()] == [1, 2]
        two.verify(one.head)


def _with_rows(path: Path) -> str:
    with Ledger.open(path, BUDGET) as ledger:
        for number in range(4):
            ledger.charge(ROUND, round=number, detail={"mark": f"round-{number}"})
        return ledger.head


def _meddle(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER no_update")
        db.execute("DROP TRIGGER no_delete")
        for statement in statements:
            db.execute(statement)


def test_any_byte_changed_in_a_row_is_found_and_named(path: Path) -> None:
    _with_rows(path)
    clean = path.read_bytes()
    start = clean.index(b"round-2")
    row_start = clean.rindex(b'{"cost"', 0, start)
    generator = random.Random(5)
    for place in [start, *generator.sample(range(row_start, start + 150), 25)]:
        damaged = bytearray(clean)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(PrivacyError, match=r"row (2|3) "):
            Ledger.open(path).close()
    path.write_bytes(clean)
    Ledger.open(path).close()


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE chain SET body = replace(body, '20.0', '90.0') WHERE number = 3", 3),
        ("UPDATE chain SET hash = upper(hash) WHERE number = 2", 2),
        ("DELETE FROM chain WHERE number = 1", 1),
        ("DELETE FROM chain WHERE number = 0", 0),
        ("UPDATE chain SET body = replace(body, '3.0', '9.0') WHERE number = 0", 0),
        ("UPDATE chain SET number = 9 WHERE number = 2", 2),
    ],
)
def test_meddling_is_found_and_named(path: Path, statement: str, row: int) -> None:
    _with_rows(path)
    with Ledger.open(path) as ledger:
        _meddle(path, statement)
        with pytest.raises(PrivacyError, match=f"row {row} "):
            ledger.verify()
    with pytest.raises(PrivacyError, match=f"row {row} "):
        Ledger.open(path)


def test_rows_cut_off_the_end_are_found_by_the_head(path: Path) -> None:
    head = _with_rows(path)
    with Ledger.open(path) as ledger:
        ledger.charge(ROUND, round=4)
        ledger.verify(head)  # a head of earlier on is still in the chain
        _meddle(path, "DELETE FROM chain WHERE number >= 4")
        ledger.verify()
        with pytest.raises(PrivacyError, match="cut off"):
            ledger.verify(head)


def test_rows_cannot_be_changed_by_accident(path: Path) -> None:
    _with_rows(path)
    for statement in ("UPDATE chain SET body = ''", "DELETE FROM chain"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), sqlite3.connect(path) as db:
            db.execute(statement)


def test_files_that_are_no_ledger_are_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "text", tmp_path / "other.sqlite"
    text.write_text("not a database, but long enough to have a header\n" * 9)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE events (id INTEGER)")
    for path in (text, other, tmp_path / "no" / "folder" / "ledger.sqlite", tmp_path):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(PrivacyError):
            Ledger.open(path, BUDGET)
        assert (path.read_bytes() if path.is_file() else None) == before


def test_details_that_are_not_json_are_refused_and_nothing_is_written(path: Path) -> None:
    with Ledger.open(path, BUDGET) as ledger:
        for detail in ({"a": math.nan}, {"a": object()}):
            with pytest.raises(PrivacyError, match="JSON"):
                ledger.charge(ROUND, round=0, detail=detail)
        assert ledger.entries() == []
        assert ledger.spent() == 0.0
        ledger.charge(ROUND, round=0)


def test_absurd_budgets_are_refused() -> None:
    for level, delta, unit in ((0.0, 1e-5, "user"), (math.inf, 1e-5, "user"), (1.0, 0.0, "user"), (1.0, 1e-5, "shop")):
        with pytest.raises(PrivacyError):
            Budget(level, delta, unit)  # type: ignore[arg-type]


HEADER = {"schema": SCHEMA, "kind": "open", "budget": None, "time": 0}
RELEASE = {"kind": "release", "query": "training", "round": 0, "detail": {}, "cost": ROUND.facts, "time": 0}


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ([], []),
        ({"schema": SCHEMA, "kind": "open"}, []),
        ({**HEADER, "budget": {"epsilon": 3.0}}, []),
        ({**HEADER, "budget": [3.0]}, []),
        (HEADER, [7]),
        (HEADER, [{}]),
        (HEADER, [{**RELEASE, "cost": None}]),
        (HEADER, [{**RELEASE, "cost": {"noise_multiplier": "much"}}]),
        (HEADER, [{**RELEASE, "detail": []}]),
        (HEADER, [{"kind": "opened", "query": "training", "round": 0, "detail": {}}]),
        (HEADER, [RELEASE, {"kind": "opened", "query": ["training"], "round": 0, "detail": {}}]),
    ],
)
def test_a_whole_chain_that_no_ledger_wrote_is_refused(path: Path, header: Any, rows: list[Any]) -> None:
    """Anybody can make one: the hashes take no secret."""
    with Chain(path, lambda: header) as chain, chain.transaction():
        for row in rows:
            chain.append(row)
    with pytest.raises(PrivacyError):
        Ledger.open(path)


def test_a_ledger_without_any_row_is_refused(path: Path) -> None:
    Ledger.open(path, BUDGET).close()
    database = sqlite3.connect(path)
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {trigger}")
    database.execute("DELETE FROM chain")
    database.commit()
    database.close()
    with pytest.raises(PrivacyError, match="row 0 is missing"):
        Ledger.open(path)
