"""``fedrec privacy verify``: an honest run passes, and whatever is changed afterwards is found and named."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from lying_ledgers import (
    a_round_left_out,
    another_budget,
    change_record,
    claims_a_smaller_probability,
    everybody_asked,
    half_noise,
    never_drawn_anew,
    one_round_twice,
    rewrite,
    sampling_not_as_accounted,
    silent_about_the_cohort,
    without_noise,
)
from typer.testing import CliRunner

from fedrec.api.load_run import load_run
from fedrec.cli.main import build
from fedrec.cli.privacy_verify import MEANING
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.errors import BudgetExceededError, DataError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.calibrate import delta_for
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.release.bundle import read_release
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "model": {"dimension": 4},
    "training": {"rounds": 6, "negatives": 20, "sampling": "poisson", "cohort": 12},
    "privacy": {"epsilon": 8.0},
    "evaluation": {"every": 0},
    "speed": {"threads": 1},
}


def config(**sections: Any) -> Config:
    return from_tree(SETTINGS | sections)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("verify") / "shop"
    write_shop(directory, users=24, items=140, seed=3)
    return directory


@pytest.fixture(scope="module")
def finished(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    simulate(config(), shop, out, reporter=SilentReporter())
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def failed(run: Path) -> set[str]:
    return {check.name for check in load_run(run) if not check.passed}


def test_an_honest_run_holds_in_every_point(run: Path) -> None:
    checks = load_run(run)
    assert [check.name for check in checks] == list(MEANING)
    assert not [check for check in checks if not check.passed]


@pytest.mark.parametrize(
    "training", [{"sampling": "full"}, {"sampling": "fixed", "cohort": 9}, {"sampling": "cyclic", "cohort": 12}]
)
def test_other_samplings_hold_too(training: dict[str, Any], shop: Path, tmp_path: Path) -> None:
    settings = config(training={"rounds": 3, "negatives": 20} | training)
    simulate(settings, shop, tmp_path, reporter=SilentReporter())
    assert not failed(tmp_path)


@pytest.mark.parametrize("training", [{"sampling": "full"}, {"sampling": "cyclic", "cohort": 12}])
def test_noise_of_devices_which_is_charged_ahead_holds_too(
    training: dict[str, Any], shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(
        training={"rounds": 3, "negatives": 20} | training, privacy={"epsilon": 8.0, "noise_place": "distributed"}
    )
    simulate(settings, shop, tmp_path / "whole", reporter=SilentReporter())
    assert not failed(tmp_path / "whole")
    right, cuts = CohortDevices.aggregate, [1]

    def lost(self: CohortDevices, request: Any, cohort: Any) -> Any:
        if request.query == "training" and request.round == 2 and cuts:
            cuts.pop()
            raise KeyboardInterrupt
        return right(self, request, cohort)

    monkeypatch.setattr(CohortDevices, "aggregate", lost)
    with pytest.raises(KeyboardInterrupt):
        simulate(settings, shop, tmp_path / "cut", reporter=SilentReporter())
    record = simulate(settings, shop, tmp_path / "cut", reporter=SilentReporter())
    assert record["stopped"] is not None, "the attempt that was lost has cost as much as a round"
    assert not failed(tmp_path / "cut")


def test_a_run_that_ended_early_claims_its_whole_plan_and_holds(shop: Path, tmp_path: Path) -> None:
    stopping = {"every": 1, "patience": 1}
    harmful = {"rounds": 9, "negatives": 20, "optimiser": "sgd", "learning_rate": 50.0, "stopping": stopping}
    record = simulate(config(training=harmful), shop, tmp_path, reporter=SilentReporter())
    assert record["validation"]["stopped_early"]
    assert record["cost"]["rounds"] == record["validation"]["rounds"][-1] < 9
    assert record["privacy"]["epsilon_released"] == pytest.approx(8.0, rel=1e-3)
    assert not failed(tmp_path)
    # Neither the smaller figure of what was charged is accepted, nor that all was asked.
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        spent = ledger.spent()
    change_record(tmp_path, lambda record: record["privacy"].update(epsilon_released=spent))
    assert "epsilon" in failed(tmp_path)
    change_record(tmp_path, lambda record: record["privacy"].update(epsilon_released=8.0))
    change_record(tmp_path, lambda record: record["validation"].update(stopped_early=False))
    assert "noise" in failed(tmp_path)


def test_a_run_whose_settings_plan_no_validation_did_not_end_early(run: Path) -> None:
    change_record(run, lambda record: record.update(validation={"stopped_early": True}))
    found = {check.name: check.problems for check in load_run(run)}
    assert any("nothing that could end it" in problem for problem in found["noise"])


def test_a_run_without_noise_claims_nothing_and_holds(shop: Path, tmp_path: Path) -> None:
    simulate(config(privacy={"epsilon": None}), shop, tmp_path, reporter=SilentReporter())
    assert not failed(tmp_path)
    change_record(tmp_path, lambda record: record["privacy"].update(epsilon_released=1.0))
    assert failed(tmp_path) == {"epsilon"}


def test_the_command_says_what_fails_and_leaves_with_the_code_of_privacy(run: Path) -> None:
    runner, app = CliRunner(), build()
    good = runner.invoke(app, ["privacy", "verify", str(run), "--json"])
    assert (good.exit_code, json.loads(good.stdout)["passed"]) == (0, True)
    change_record(run, lambda record: record["privacy"].update(epsilon_released=0.5))
    bad = runner.invoke(app, ["privacy", "verify", str(run), "--json"])
    said = json.loads(bad.stdout)
    assert (bad.exit_code, said["passed"]) == (6, False)
    assert [check["name"] for check in said["checks"] if not check["passed"]] == ["epsilon"]
    words = runner.invoke(app, ["privacy", "verify", str(run)])
    assert words.exit_code == 6
    assert "claims epsilon 0.5" in words.output


def test_a_directory_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run ended"):
        load_run(tmp_path)


def test_a_byte_flipped_in_any_row_is_found(run: Path) -> None:
    path = run / "ledger.sqlite"
    clean = path.read_bytes()
    with sqlite3.connect(path) as db:
        contents = [text.encode() for row in db.execute("SELECT body, hash FROM chain") for text in row]
    generator = random.Random(7)
    for content in contents:
        # A text longer than a page lies in pieces; its first bytes are in one.
        start = clean.index(content[:200])
        for place in generator.sample(range(start, start + len(content[:200])), 3):
            damaged = bytearray(clean)
            damaged[place] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
            assert "ledger" in failed(run), place - start
    path.write_bytes(clean)
    assert not failed(run)


def test_a_dropped_trigger_is_found(run: Path) -> None:
    with sqlite3.connect(run / "ledger.sqlite") as db:
        db.execute("DROP TRIGGER no_update")
    assert failed(run) == {"ledger"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (half_noise, {"noise", "epsilon", "budget"}),
        (everybody_asked, {"participation", "sums"}),
        (sampling_not_as_accounted, {"participation"}),
        (never_drawn_anew, {"participation"}),
        (claims_a_smaller_probability, {"participation", "noise"}),
        (one_round_twice, {"rounds", "noise"}),
        (a_round_left_out, {"rounds", "noise", "sums"}),
        (another_budget, {"budget"}),
        (without_noise, {"budget", "noise"}),
        (silent_about_the_cohort, {"participation"}),
    ],
)
def test_a_ledger_that_lies_is_found(change: Callable[[list[Any]], None], named: set[str], run: Path) -> None:
    rewrite(run, change)
    found = failed(run)
    assert named <= found
    assert {"head", "release"} <= found  # the release was signed with another ledger
    assert "ledger" not in found


def test_a_row_added_after_the_release_is_found(run: Path) -> None:
    with Ledger.open(run / "ledger.sqlite") as ledger:
        entry = ledger.entries()[-1]
        assert entry.cost is not None
        tiny = replace(entry.cost, noise_multiplier=1e6)
        ledger.charge(tiny, round=entry.round + 1, detail=entry.detail)
    assert {"head", "sums", "noise"} <= failed(run)


def test_sums_without_rows_and_rows_without_sums_are_found(run: Path) -> None:
    path = run / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    extra = json.loads(lines[-1]) | {"round": 99}
    path.write_text("".join(lines) + json.dumps(extra) + "\n")
    (check,) = [check for check in load_run(run) if not check.passed]
    assert "no row" in check.problems[0]
    path.write_text("".join(lines[:-1]))
    (check,) = [check for check in load_run(run) if not check.passed]
    assert (check.name, "no opened sum" in check.problems[0]) == ("sums", True)


def test_claims_are_held_to_the_rows(run: Path) -> None:
    change_record(run, lambda record: record["privacy"].update(delta=1e-3))
    assert failed(run) == {"epsilon"}
    (run / "model" / "privacy.json").write_text("{}")
    assert failed(run) == {"epsilon", "release"}


def test_a_ledger_that_is_gone_is_found_and_not_made_anew(run: Path) -> None:
    (run / "ledger.sqlite").unlink()
    assert "ledger" in failed(run)
    assert not (run / "ledger.sqlite").exists()


def test_rows_hold_what_took_part_and_name_nobody(run: Path) -> None:
    with Ledger.open(run / "ledger.sqlite") as ledger:
        entries = ledger.entries()
    assert {entry.detail["population"] for entry in entries} == {24}
    details = [entry.detail for entry in entries if entry.query == "training"]
    assert {detail["sampling"] for detail in details} == {"poisson"}
    assert {detail["probability"] for detail in details} == {0.5}
    assert all(detail["survivors"] == detail["asked"] for detail in details)
    assert len({detail["cohort"] for detail in details}) == len(details)
    assert [entry.detail["asked"] for entry in entries if entry.query != "training"] == [24, 24]
    assert all(asdict(entry.cost or QueryCost("metrics", 1.0))["rounds"] == 1 for entry in entries)


def test_the_statement_of_a_run_is_a_page_a_file_or_a_document(run: Path, tmp_path: Path) -> None:
    runner, app = CliRunner(), build()
    page = runner.invoke(app, ["privacy", "statement", str(run)])
    assert page.exit_code == 0
    first, _, rest = page.stdout.partition("\n\n")
    assert first.startswith("**simulation: no protection")
    assert rest.startswith("# Privacy statement: run")
    file = tmp_path / "statement.md"
    assert runner.invoke(app, ["privacy", "statement", str(run), "--out", str(file)]).exit_code == 0
    assert file.read_text().strip() == page.stdout.strip()
    facts = json.loads(runner.invoke(app, ["privacy", "statement", str(run), "--json"]).stdout)
    record = json.loads((run / "run.json").read_text())
    assert facts["epsilon_released"] == record["privacy"]["epsilon_released"]
    assert (facts["verified"], facts["population"]) == (True, 24)
    change_record(run, lambda record: record["privacy"].update(epsilon_released=0.5))
    assert "does not hold" in runner.invoke(app, ["privacy", "statement", str(run)]).stdout


def test_the_time_for_accounting_is_in_the_record(run: Path) -> None:
    cost = json.loads((run / "run.json").read_text())["cost"]
    assert 0 < cost["accounting_seconds"] < cost["seconds"]
    assert cost["accounting_share"] == pytest.approx(cost["accounting_seconds"] / cost["seconds"], rel=0.1)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_budget_that_ends_in_mid_run_leaves_a_release_within_it(as_json: bool, shop: Path, tmp_path: Path) -> None:
    """Something else draws on the ledger: the run goes as far as what is left bears."""
    out, file = tmp_path / "run", tmp_path / "run.toml"
    file.write_text(
        "[model]\ndimension = 4\n[training]\nrounds = 6\nnegatives = 20\n[privacy]\nepsilon = 8.0\n"
        "[collaborative]\ncooccurrence.enabled = false\npopularity = false\n[evaluation]\nevery = 0\n"
    )
    out.mkdir()
    with Ledger.open(out / "ledger.sqlite", Budget(8.0, delta_for(24), "user")) as ledger:
        ledger.charge(QueryCost("metrics", 0.9), round=0)
    flags = ["--json"] if as_json else []
    ended = CliRunner().invoke(build(), ["simulate", str(file), "--data", str(shop), "--out", str(out), *flags])
    assert ended.exit_code == BudgetExceededError.exit_code
    record = json.loads((out / "run.json").read_text())
    rounds = [query["rounds"] for query in record["privacy"]["queries"] if query["query"] == "training"]
    assert 0 < rounds[0] < 6
    assert "budget" in record["stopped"]
    assert 0 < record["privacy"]["epsilon_released"] <= 8.0
    promised = read_release(out / "model").contents.privacy["epsilon_released"]
    assert promised == record["privacy"]["epsilon_released"]
    assert "The run ended early" in (out / "model" / "MODEL_CARD.md").read_text()
    if as_json:
        assert json.loads(ended.stdout)["stopped"] == record["stopped"]
    else:
        assert "within the budget" in ended.output
    # What else drew on the ledger is no part of this run's plan, and is named; all that is claimed holds.
    assert not failed(out) & {"ledger", "head", "budget", "epsilon", "release"}
