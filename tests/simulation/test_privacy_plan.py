"""``fedrec privacy plan``: the asked keys, three accountants in their order, and words for people."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from fedrec.audit.prv import ERROR, prv_epsilon
from fedrec.cli.main import build
from fedrec.privacy.accountant import QueryCost, epsilon

RUNNER = CliRunner()
SIZE = ["--population", "6040", "--cohort", "100", "--rounds", "200"]


def plan(*options: str) -> dict[str, Any]:
    result = RUNNER.invoke(build(), ["privacy", "plan", *SIZE, *options, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("options", "known"),
    [
        (["--epsilon", "1", "--sampling", "poisson"], 1.11),
        (["--epsilon", "3", "--sampling", "poisson"], 0.73),
        (["--epsilon", "8", "--sampling", "poisson"], 0.52),
        (["--epsilon", "3", "--sampling", "cyclic"], 2.50),
    ],
)
def test_known_noise_by_three_accountants_in_order(options: list[str], known: float) -> None:
    found = plan(*options)
    assert found["noise_multiplier"] == pytest.approx(known, rel=0.01)
    checks = found["accountants"]
    assert checks["pld"] <= checks["prv"] <= checks["rdp"]
    assert checks["prv"] <= checks["pld"] + 2 * checks["prv_error"] + 1e-3 * checks["pld"]
    assert checks["pld"] == pytest.approx(found["epsilon_released"], rel=1e-3)
    assert found["epsilon_released"] <= float(options[1])
    assert found["epsilon_server"] is None
    assert "before it adds the noise" in found["epsilon_server_reason"]


def test_banded_noise_is_planned_with_its_equivalent() -> None:
    found = plan("--epsilon", "3", "--noise", "banded")
    assert (found["sampling"], found["participations"], found["minimum_separation"]) == ("cyclic", 4, 61)
    assert found["iid_equivalent"] <= 0.70
    assert found["iid_equivalent"] < found["noise_multiplier"] / 3


def test_distributed_noise_has_a_bound_towards_the_server() -> None:
    found = plan("--epsilon", "3", "--sampling", "cyclic", "--noise-place", "distributed", "--dropout", "0.2")
    assert found["epsilon_server"] == pytest.approx(3.0, rel=1e-3)
    assert found["epsilon_server_reason"] is None
    plain = plan("--epsilon", "3", "--sampling", "cyclic")
    lost = found["signal_to_noise"]["a_round"] / plain["signal_to_noise"]["a_round"]
    assert lost == pytest.approx(0.8**0.5)


def test_advice_is_computed_for_what_was_asked() -> None:
    small, large = (plan("--epsilon", "3", "--sampling", "cyclic", "--parameters", p) for p in ("100", "500000"))
    assert small["advice"]["reached"]
    assert small["advice"]["more_devices"] is None
    advice = large["advice"]
    assert not advice["reached"]
    again = plan("--epsilon", "3", "--sampling", "cyclic", "--parameters", str(advice["fewer_parameters"]))
    assert again["signal_to_noise"]["whole_run"] == pytest.approx(1.0, rel=0.01)
    more = advice["more_devices"]
    assert more["cohort"] > 100
    assert more["whole_run"] >= 1.0
    assert advice["larger_epsilon"] > 3.0


def test_a_group_of_rows_is_told_its_own_epsilon() -> None:
    found = plan("--epsilon", "3", "--sampling", "cyclic", "--group", "2")
    half = QueryCost("training", found["noise_multiplier"] / 2, found["participations"])
    assert found["group"] == {"size": 2, "epsilon_released": pytest.approx(epsilon([half], found["delta"]), rel=1e-6)}


def test_people_get_tables() -> None:
    result = RUNNER.invoke(build(), ["privacy", "plan", *SIZE, "--epsilon", "1", "--sampling", "cyclic"])
    assert result.exit_code == 0
    for words in ("noise multiplier", "PRV", "Renyi", "at most 4 of 200 rounds", "banded", "devices"):
        assert words in result.stdout


def test_noise_that_does_not_go_with_the_sampling_is_an_error() -> None:
    words = ["privacy", "plan", *SIZE, "--epsilon", "1", "--noise", "banded", "--sampling", "poisson", "--json"]
    result = RUNNER.invoke(build(), words)
    assert result.exit_code != 0


def test_prv_of_several_spends_is_near_the_figure() -> None:
    costs = [QueryCost("popularity", 5.0), QueryCost("training", 1.1, 50, "poisson", 0.02)]
    figure = epsilon(costs, 1e-5)
    found = prv_epsilon(costs, 1e-5, about=figure)
    assert figure * 0.998 <= found <= figure * (1 + 2.5 * ERROR)
    assert prv_epsilon([], 1e-5, about=1.0) == 0.0


def test_secret_samples_are_planned_with_their_own_accounts() -> None:
    secret = plan("--epsilon", "8", "--sampling", "fixed", "--secret-cohorts")
    known = plan("--epsilon", "8", "--sampling", "fixed")
    assert secret["secret_cohorts"] and not known["secret_cohorts"]
    assert secret["noise_multiplier"] == pytest.approx(0.939, rel=0.01)
    assert known["noise_multiplier"] == pytest.approx(7.814, rel=0.01)
    assert secret["epsilon_without_amplification"] > 100
    # Neither Opacus nor Renyi's accountant knows such samples, and neither is asked as if they were Poisson's.
    assert secret["accountants"]["prv"] is secret["accountants"]["rdp"] is None
    dealt = plan("--epsilon", "8", "--sampling", "balls-in-bins")
    assert (dealt["participations"], dealt["minimum_separation"]) == (4, 61)
    assert dealt["noise_multiplier"] == pytest.approx(0.757, rel=0.01)


@pytest.mark.slow
def test_the_noise_of_every_sampling_in_one_table() -> None:
    result = RUNNER.invoke(build(), ["privacy", "plan", *SIZE, "--by-sampling", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["epsilons"] == [8.0, 3.0, 1.0]
    banded = {one["sampling"]: one["iid_equivalent"] for one in found["samplings"] if one["noise"] == "banded"}
    plain = [one for one in found["samplings"] if one["noise"] == "independent"]
    noise = {(one["sampling"], one["amplified"]): one["noise_multiplier"] for one in plain}
    assert noise["full", False] == noise["fixed", False]
    for column in range(3):
        order = ("poisson", True), ("balls-in-bins", True), ("cyclic", False), ("full", False)
        values = [noise[kind][column] for kind in order]
        assert values == sorted(values)
        assert noise["poisson", True][column] < noise["fixed", True][column] < noise["full", False][column] / 8
        assert banded["cyclic-poisson"][column] < min(banded["cyclic"][column], noise["poisson", True][column])
    words = RUNNER.invoke(build(), ["privacy", "plan", *SIZE, "--by-sampling", "--epsilon", "3"])
    assert "balls-in-bins" in words.stdout and "epsilon 3" in words.stdout


def test_a_table_of_samplings_needs_a_sample() -> None:
    for options in (["--population", "100", "--cohort", "10"], ["--population", "100", "--rounds", "5"]):
        assert RUNNER.invoke(build(), ["privacy", "plan", *options, "--by-sampling"]).exit_code != 0


def test_secrets_that_the_server_cannot_keep_are_refused() -> None:
    base = ["privacy", "plan", *SIZE, "--epsilon", "3"]
    for options in (
        ["--sampling", "cyclic", "--secret-cohorts"],
        ["--sampling", "fixed", "--secret-cohorts", "--noise-place", "distributed"],
        ["--sampling", "balls-in-bins", "--noise-place", "distributed"],
        ["--sampling", "cyclic-poisson", "--noise-place", "distributed"],
        ["--sampling", "cyclic", "--groups", "3"],
    ):
        assert RUNNER.invoke(build(), [*base, *options]).exit_code != 0
