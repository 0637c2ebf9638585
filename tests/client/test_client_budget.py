"""What an answer costs is in the device's own ledger before it leaves, and is refused once it is too much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import federation_cases as cases
import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import BudgetExceededError, ProtocolError
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.device_entry import DeviceLedgerEntry
from fedrec.privacy.device_ledger import BUDGET, DeviceLedger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import costs_of
from fedrec.queries.wire import Envelope
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study

CONFIG = cases.settings()
SAID = {"users": cases.USERS, "devices": cases.USERS}


def popularity_of(config: Config) -> QueryCost:
    return next(cost for cost in costs_of(config, cases.USERS, cases.USERS) if cost.query == "popularity")


@pytest.fixture(scope="module")
def catalogue(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cases.place(federation_study, tmp_path_factory.mktemp("costs"))[0]


@pytest.fixture
def store(federation_study: Study, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "device.sqlite"
    with EventStore.create(path) as opened:
        opened.add_events("ann", [Event(item, 1) for item in federation_study.features.ids[:4]])
    yield path


def asked(study: Study, session: str = "first", **said: Any) -> Envelope:
    request = cases.popularity_question(CONFIG, study)
    return cases.envelope(replace(request, settings={**SAID, **said}), study, session)


def rows(store: Path) -> list[DeviceLedgerEntry]:
    with EventStore.open(store) as opened:
        return DeviceLedger(opened).rows()


def test_an_answer_has_its_row_with_the_noise_of_the_settings(
    federation_study: Study, catalogue: Path, store: Path
) -> None:
    cases.device(CONFIG, catalogue, store).answer(asked(federation_study), "run")
    (row,) = rows(store)
    assert row.cost == popularity_of(CONFIG)
    assert (row.run, row.query, row.round, row.delta) == ("run", "popularity", 0, delta_of(CONFIG, cases.USERS))


class CutOff(BaseException):
    """Stands for a kill: nothing catches it."""


def test_an_answer_that_is_cut_off_after_it_was_taken_down_counts(
    federation_study: Study, catalogue: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise CutOff

    monkeypatch.setattr("fedrec.client.load_population.load_population", killed)
    with pytest.raises(CutOff):
        cases.device(CONFIG, catalogue, store).answer(asked(federation_study), "run")
    assert len(rows(store)) == 1


def test_an_answer_that_cannot_be_computed_is_zeros_and_counts(
    federation_study: Study, catalogue: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedrec.client.load_population.load_population", lambda *_, **__: 1 / 0)
    envelope = asked(federation_study)
    answer = cases.device(CONFIG, catalogue, store).answer(envelope, "run")
    assert len(answer) == envelope.request.sum.bytes_up and not any(answer)
    assert len(rows(store)) == 1


def test_repeats_end_under_whatever_name_of_the_run(federation_study: Study, catalogue: Path, store: Path) -> None:
    device, attempts = cases.device(CONFIG, catalogue, store), CONFIG.secure_aggregation.attempts + 12
    for number in range(attempts):
        device.answer(asked(federation_study), f"run {number}")
    with pytest.raises(BudgetExceededError):
        device.answer(asked(federation_study), "yet another run")
    assert len(rows(store)) == attempts


def test_two_runs_share_the_lifetime_budget_of_one_store(federation_study: Study, catalogue: Path, store: Path) -> None:
    one = popularity_of(CONFIG)
    delta = delta_of(CONFIG, cases.USERS)
    budget = epsilon([replace(one, rounds=2)], delta) * 0.99
    with EventStore.open(store) as opened:
        opened.set_setting(BUDGET, str(budget))
    other = cases.settings(run={"name": "another run", "seed": 3, "reproducible": True})
    cases.device(CONFIG, catalogue, store).answer(asked(federation_study), "first")
    with pytest.raises(BudgetExceededError):
        cases.device(other, catalogue, store).answer(asked(federation_study), "second")
    with EventStore.open(store) as opened:
        opened.set_setting(BUDGET, "null")
    cases.device(other, catalogue, store).answer(asked(federation_study), "second")
    assert len({row.agreement for row in rows(store)}) == 2


@pytest.mark.parametrize("said", [{"users": 0}, {"devices": -3}, {"users": 2.5}, {"users": True}, {"more": 1}])
def test_a_population_that_is_no_count_is_refused(
    said: dict[str, Any], federation_study: Study, catalogue: Path, store: Path
) -> None:
    with pytest.raises(ProtocolError):
        cases.device(CONFIG, catalogue, store).answer(asked(federation_study, **said), "run")
    assert rows(store) == []


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["none", "secagg+"])
def test_every_device_of_a_run_knows_all_its_sums(protocol: str, federation_study: Study, tmp_path: Path) -> None:
    config = cases.settings(secure_aggregation={"protocol": protocol, "minimum_cohort": 20})
    with open_reporter(silent=True) as reporter, grid_devices(config, federation_study, tmp_path, reporter) as devices:
        outcome = cases.run(config, federation_study, devices, tmp_path)
    assert outcome.stopped is None
    for path in sorted((tmp_path / "stores").glob("*.sqlite"))[::5]:
        with EventStore.open(path) as opened:
            ledger = DeviceLedger(opened)
            found = [(row.query, row.round) for row in ledger.rows()]
            assert found == [
                ("popularity", 0),
                ("cooccurrence", 0),
                *(("training", n) for n in (1, 2, 3)),
                ("metrics", 4),
            ]
            assert ledger.spent() == pytest.approx(epsilon(outcome.costs, delta_of(config, cases.USERS)))


def test_the_owner_sets_a_budget_and_reads_the_ledger(federation_study: Study, catalogue: Path, store: Path) -> None:
    runner, app = CliRunner(), build()
    cases.device(CONFIG, catalogue, store).answer(asked(federation_study), "run")
    said = runner.invoke(app, ["device", "ledger", "--store", str(store), "--budget", "0.01", "--json"])
    facts = json.loads(said.stdout)
    assert facts["budget"] == 0.01
    assert facts["epsilon"] == pytest.approx(epsilon([popularity_of(CONFIG)], delta_of(CONFIG, cases.USERS)))
    assert [row["query"] for row in facts["rows"]] == ["popularity"]
    with pytest.raises(BudgetExceededError, match="own budget"):
        cases.device(CONFIG, catalogue, store).answer(asked(federation_study, "second"), "run")
    words = runner.invoke(app, ["device", "ledger", "--store", str(store), "--budget", "0"])
    assert "epsilon in all" in words.output
    cases.device(CONFIG, catalogue, store).answer(asked(federation_study, "second"), "run")
