"""``fedrec device verify``: a store that was tampered with, or gave too much, is found, and the row is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.client.pending_round import save_replay_guard
from fedrec.client.transcript import Transcript, verify_transcript
from fedrec.data.store import EventStore
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon, gaussian_noise
from fedrec.privacy.device_entry import Agreement, DeviceLedgerEntry
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.device_verify import verify_rows
from fedrec.privacy.spent_total import SpentTotal
from fedrec.secagg.replay_guard import ReplayGuard, SeenRound

DELTA = 1e-4
AGREED = Agreement("a manifest", 2.0, DELTA)
WHOLE = gaussian_noise(2.0, DELTA)


def give(store: EventStore, count: int, z: float, *, agreement: Agreement = AGREED, run: str = "run") -> None:
    ledger = DeviceLedger(store)
    before = len(ledger.rows())
    for number in range(before, before + count):
        with store.transaction(durable=True):
            ledger.charge_shared(agreement, QueryCost("training", z), run=run, query="training", round=number)


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    made = EventStore.create(tmp_path / "device.sqlite")
    give(made, 4, 2 * WHOLE)
    return made


def verified(store: EventStore) -> Transcript:
    return verify_transcript(store)


def said(store: EventStore, *words: str) -> tuple[int, str]:
    found = CliRunner().invoke(build(), ["device", "verify", "--store", str(store.path), *words])
    return found.exit_code, found.output + str(found.exception or "")


def test_a_device_that_kept_to_its_agreements_holds(store: EventStore) -> None:
    trusted = Agreement("another", 8.0, DELTA)
    plan = QueryCost("popularity", 3.0)
    with store.transaction(durable=True):
        DeviceLedger(store).charge_trusted(trusted, plan, 3, run="run", query="popularity", round=0)
    local = Agreement("alone", 4.0, DELTA)
    sampled = QueryCost("training", 2.0, 3, "poisson", 0.1)
    with store.transaction(durable=True):
        DeviceLedger(store).charge_local(local, sampled, run="run", query="training", round=1)
    found = verified(store)
    assert not found.problems
    assert [(one.key, one.rows, one.noise, one.epsilon) for one in found.agreements] == [
        ("a manifest", 4, ("devices",), 2.0),
        ("another", 1, ("server",), 8.0),
        ("alone", 1, ("device",), 4.0),
    ]
    assert found.agreements[0].spent == pytest.approx(2.0)
    assert found.agreements[2].spent == pytest.approx(epsilon([sampled], DELTA))
    code, words = said(store)
    assert code == 0
    assert "holds" in words and "server's word" in words
    code, words = said(store, "--json")
    assert json.loads(words)["passed"] is True


def test_an_empty_store_holds(tmp_path: Path) -> None:
    with EventStore.create(tmp_path / "new.sqlite") as new:
        assert verified(new) == Transcript((), ())


def test_a_device_that_refused_nothing_is_found_and_the_row_that_was_too_much(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every hash and every running total fits: the cost is composed from the rows."""
    with monkeypatch.context() as patch:
        patch.setattr(SpentTotal, "exceeds", lambda self, epsilon, delta: False)
        give(store, 3, 2 * WHOLE)
    (problem,) = verified(store).problems
    assert problem.startswith("row 4:")
    code, words = said(store)
    assert code == PrivacyError.exit_code and "row 4" in words and "FAILS" in words
    code, words = said(store, "--json")
    assert code == PrivacyError.exit_code


Tampering = Callable[[EventStore], None]


def cheapened(store: EventStore) -> None:
    """More noise written into a row than was in the answer."""
    kept = json.loads(store.get_setting("ledger 00000002") or "")
    kept["body"] = kept["body"].replace(f"{2 * WHOLE}", f"{20 * WHOLE}")
    store.set_setting("ledger 00000002", json.dumps(kept))


def taken_out(store: EventStore) -> None:
    store.set_setting("ledger 00000002", "null")


def swapped(store: EventStore) -> None:
    one, other = (store.get_setting(f"ledger 0000000{number}") or "" for number in (2, 3))
    store.set_setting("ledger 00000002", other)
    store.set_setting("ledger 00000003", one)


@pytest.mark.parametrize("tampering", [cheapened, taken_out, swapped])
def test_a_row_that_was_changed_is_named(tampering: Tampering, store: EventStore) -> None:
    with store.transaction():
        tampering(store)
    with pytest.raises(PrivacyError, match=r"row [23]"):
        verified(store)
    code, words = said(store)
    assert code == PrivacyError.exit_code and "row" in words


def test_a_ledger_put_back_to_an_earlier_day_misses_what_was_masked_since(tmp_path: Path) -> None:
    with EventStore.create(tmp_path / "device.sqlite") as store:
        give(store, 1, 3 * WHOLE, run="first")
        guard = ReplayGuard({"first": SeenRound(1, 0, 1, True), "later": SeenRound(3, 0, 1, False)}, [1])
        with store.transaction():
            save_replay_guard(store, guard)
        (problem,) = verified(store).problems
        assert "later" in problem


def row(**changed: object) -> DeviceLedgerEntry:
    fields: dict[str, object] = {
        "agreement": "a",
        "epsilon": 2.0,
        "delta": DELTA,
        "run": "run",
        "query": "training",
        "round": 1,
        "noise": "devices",
        "cost": QueryCost("training", 3 * WHOLE),
        "releases": 1,
        "planned": 0,
        "time": 0,
    }
    return DeviceLedgerEntry(**(fields | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"epsilon": 9.0}, "agreed"),
        ({"noise": "none"}, "noise of none"),
        ({"cost": None}, "cost of None"),
        ({"query": "metrics"}, "what it charges"),
        ({"releases": 0}, "in full"),
        ({"round": 0}, "after round 1"),
        ({"noise": "server"}, "planned were 0"),
        ({"cost": QueryCost("training", 0.6 * WHOLE)}, "was given in all"),
    ],
)
def test_rows_that_do_not_fit_are_named(changed: dict[str, object], says: str) -> None:
    (verdict,) = verify_rows([row(), row(**changed)])
    assert any(says in problem and problem.startswith("row 1:") for problem in verdict.problems)
    assert not verify_rows([row(), row()])[0].problems


def test_rows_are_held_to_what_was_signed() -> None:
    signed = {"a": Agreement("a", 1.5, DELTA)}
    (verdict,) = verify_rows([row()], signed)
    assert "signed was epsilon 1.5" in verdict.problems[0]
    assert not verify_rows([row()], {"a": Agreement("a", 2.0, DELTA)})[0].problems
