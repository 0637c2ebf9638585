"""``fedrec privacy plan CONFIG`` says beforehand what a run of that config is charged, whatever it asks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedrec.api.config_plan import report
from fedrec.cli.main import build
from fedrec.config import Config, from_tree, load
from fedrec.config.presets import PRESETS
from fedrec.console import SilentReporter
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import budget_of
from fedrec.queries.request import Request
from fedrec.queries.sizing import sized_by_noise
from fedrec.server.keys import RunKeys
from fedrec.server.private_aggregator import PrivateAggregator
from fedrec.server.results import AggregateResult
from fedrec.server.sampling import Sampler
from fedrec.server.state import ServerState
from fedrec.simulation.privacy.auditing import with_delta
from fedrec.simulation.run import settled, simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import prepare

CONFIGS = sorted(Path("simulations/configs").glob("*.toml"))
USERS, ITEMS = 943, 1682
FACTORS: Mapping[str, Any] = {
    "model": {"tower": False},
    "collaborative": {
        "cooccurrence": {"enabled": False},
        "power_iteration": {"enabled": True, "steps": 2, "rank": 6},
        "prior": {"weight": 1.0, "modalities": {"text": 1.0}},
    },
    "privacy": {"epsilon": 6.0},
}


class Roster:
    """Devices that are counted, and never asked."""

    def __init__(self, users: int, size: int) -> None:
        self.users, self.size = users, size

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        raise AssertionError("nobody is asked for a plan")


def charged(config: Config, users: int, devices: int, place: Path) -> list[dict[str, Any]]:
    """The plan that the server of a run makes, holds to its budget and authorises."""
    config = sized_by_noise(settled(config), users, ITEMS)
    budget = budget_of(config, users)
    if config.audit.canaries:
        config = with_delta(config, delta_of(config, users))
    roster = Roster(users + config.audit.canaries, devices + config.audit.canaries)
    with Ledger.open(place / "ledger.sqlite", budget) as ledger, ServerState(None, "plan") as state:
        keys = RunKeys(config, state)
        sampler = Sampler(config, roster.size, keys.of("cohorts"))
        sums = PrivateAggregator(config, roster, ledger, state, sampler, keys, lambda aggregate: None)
        sums.authorise()
        return [facts(cost) for cost in sums.costs.values()]


def facts(cost: Any) -> dict[str, Any]:
    names = ("query", "rounds", "noise_multiplier", "sampling", "probability", "minimum_separation", "participations")
    return {name: getattr(cost, name) for name in names}


def queries(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    kept = ("query", "rounds", "noise_multiplier", "sampling", "probability", "minimum_separation", "participations")
    return [{name: one[name] for name in kept} for one in found["privacy"]["queries"]]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_of_every_config_the_plan_is_what_its_run_makes(path: Path, tmp_path: Path) -> None:
    config = load(path)
    if config.privacy.epsilon is None:
        assert report(config, USERS, items=ITEMS)["privacy"]["queries"] == []
        config = load(path, ["privacy.epsilon=2.0", "collaborative.cooccurrence.normalise=1.0"])
    found = report(config, USERS, checks=False, items=ITEMS)
    assert queries(found) == charged(config, USERS, USERS, tmp_path)
    assert found["privacy"]["epsilon_released"] == pytest.approx(config.privacy.epsilon, rel=1e-3)
    assert {one["query"] for one in queries(found)} >= (
        {"factors"} if config.collaborative.power_iteration.enabled else set()
    )


@pytest.mark.parametrize("name", sorted(PRESETS.names()))
def test_of_every_preset_the_plan_is_what_its_run_makes(name: str, tmp_path: Path) -> None:
    config = from_tree({"model": {"preset": name}, "privacy": {"epsilon": 8.0}})
    assert queries(report(config, USERS, checks=False, items=ITEMS)) == charged(config, USERS, USERS, tmp_path) != []


OTHERS: Mapping[str, tuple[dict[str, Any], int]] = {
    "silos": ({"training": {"sampling": "poisson", "cohort": 20}}, 60),
    "sampled": ({"training": {"sampling": "poisson", "cohort": 100, "rounds": 5}}, USERS),
    "canaries": (
        {"training": {"sampling": "cyclic", "cohort": 100, "rounds": 40}, "audit": {"canaries": 100}},
        USERS,
    ),
    "stopping": ({"training": {"rounds": 9, "stopping": {"every": 2}}}, USERS),
    "metrics": ({"evaluation": {"private_metrics": True}}, USERS),
}


@pytest.mark.parametrize("name", OTHERS)
def test_of_other_ways_to_take_part_too(name: str, tmp_path: Path) -> None:
    tree, devices = OTHERS[name]
    config = from_tree({**tree, "privacy": {"epsilon": 3.0}})
    assert queries(report(config, USERS, devices=devices, checks=False)) == charged(config, USERS, devices, tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plan") / "shop"
    write_shop(directory, users=24, items=140, seed=3, private_users=0)
    return directory


def test_a_run_with_factors_ends_with_what_was_planned(shop: Path, tmp_path: Path) -> None:
    config = from_tree(dict(FACTORS))
    found = report(config, 24)
    run = simulate(config, shop, tmp_path / "run", reporter=SilentReporter())
    with Ledger.open(tmp_path / "run" / "ledger.sqlite") as ledger:
        rows, spent = ledger.costs(), ledger.spent()
    noise = {cost.query: cost.noise_multiplier for cost in rows}
    rounds = Counter({cost.query: 0 for cost in rows})
    for cost in rows:
        rounds[cost.query] += cost.rounds
    assert rounds == {"popularity": 1, "directions": 2, "factors": 1}
    assert {one["query"]: (one["rounds"], one["noise_multiplier"]) for one in queries(found)} == {
        query: (rounds[query], noise[query]) for query in rounds
    }
    assert spent == found["privacy"]["epsilon_released"]
    assert {name: value for name, value in run["privacy"].items() if name != "ledger"} == found["privacy"]


def test_devices_that_add_all_noise_charge_what_was_planned(shop: Path, tmp_path: Path) -> None:
    """Each device's own ledger, after a run behind the grid, against the plan for as many interactions."""
    config = from_tree(
        {
            "run": {"engine": "grid"},
            "model": {"dimension": 4},
            "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
            "training": {"rounds": 2, "negatives": 16, "examples": 4},
            "privacy": {
                "unit": "example",
                "epsilon": 6.0,
                "delta": 1e-3,
                "noise_place": "local",
                "local": {"steps": 2, "batch": 8},
            },
            "secure_aggregation": {"protocol": "none"},
        }
    )
    counts = prepare(settled(config), shop, SilentReporter()).population.histories.lengths
    run = simulate(config, shop, tmp_path / "run", reporter=SilentReporter())
    found = report(config, 24, interactions=sorted({int(count) for count in counts}))
    assert {name: value for name, value in run["privacy"].items() if name != "ledger"} == found["privacy"]
    planned = Counter[tuple[Any, ...]]()
    of = {one["interactions"]: one for one in found["own"]}
    for count in counts:
        one = of[int(count)]
        planned[
            one["probability"], one["noise_multiplier"], one["steps_a_turn"], one["participations"], one["epsilon"]
        ] += 1
    kept = Counter[tuple[Any, ...]]()
    for path in (tmp_path / "run" / "stores").glob("*.sqlite"):
        with EventStore.open(path) as store:
            rows, spent = DeviceLedger(store).rows(), DeviceLedger(store).spent()
        cost = rows[0].cost
        assert cost is not None
        assert {row.cost for row in rows} == {cost}
        kept[cost.probability, cost.noise_multiplier, rows[0].releases, len(rows), spent] += 1
    assert kept == planned
    assert len(planned) > 1


def called(*words: str) -> Any:
    return CliRunner().invoke(build(), ["privacy", "plan", *words])


def test_the_command_plans_a_config(tmp_path: Path) -> None:
    path = tmp_path / "factors.toml"
    path.write_text('[model]\npreset = "factors"\n[privacy]\nepsilon = 4.0\n')
    result = called(str(path), "--population", "6040", "--group", "2", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [one["query"] for one in found["privacy"]["queries"]] == ["popularity", "directions", "factors"]
    checks = found["accountants"]
    assert checks["pld"] == pytest.approx(4.0, rel=2e-3)
    assert checks["pld"] <= checks["prv"] <= checks["rdp"]
    assert found["group"]["epsilon_released"] > 8.0
    text = called(str(path), "--population", "6040", "--set", "privacy.epsilon=2").stdout
    for words in ("directions", "factors", "epsilon, released model", "2.000"):
        assert words in text
    assert "claims nothing" in called("simulations/configs/shop.toml", "--population", "600").stdout


def test_the_command_plans_local_noise(tmp_path: Path) -> None:
    path = tmp_path / "local.toml"
    path.write_text(
        "[collaborative]\npopularity = false\ncooccurrence.enabled = false\n[training]\nrounds = 3\n"
        '[privacy]\nunit = "example"\nepsilon = 4.0\ndelta = 1e-4\nnoise_place = "local"\n'
    )
    result = called(str(path), "--population", "300", "--interactions", "50", "--json")
    found = json.loads(result.stdout)
    assert (found["privacy"]["epsilon_released"], found["privacy"]["epsilon_server"]) == (4.0, 4.0)
    (own,) = found["own"]
    assert (own["taken_as"], own["participations"], own["steps_a_turn"], own["sampling"]) == (32, 3, 1, "full")
    assert own["epsilon"] == pytest.approx(4.0, rel=1e-3)
    assert "by itself" in called(str(path), "--population", "300").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("fedrec/simulation/demo.toml", "--population", "300", "--epsilon", "3"),
        ("fedrec/simulation/demo.toml", "--population", "300", "--rounds", "3"),
        ("--population", "300"),
        ("--population", "300", "--rounds", "3", "--epsilon", "1", "--noise-place", "local"),
        ("--population", "300", "--rounds", "3", "--epsilon", "1", "--set", "privacy.epsilon=2"),
    ],
)
def test_a_config_and_options_that_say_the_same_do_not_mix(words: tuple[str, ...]) -> None:
    result = called(*words)
    assert isinstance(result.exception, ConfigError) or result.exit_code == ConfigError.exit_code


def test_a_plan_that_a_run_would_refuse_is_refused() -> None:
    tree = {"privacy": {"epsilon": 3.0, "shares": {"popularity": 1.0}}}
    with pytest.raises(ConfigError, match="no share"):
        report(from_tree(tree), USERS)
    small = {"run": {"engine": "grid"}, "training": {"sampling": "cyclic", "cohort": 25, "rounds": 4}}
    with pytest.raises(ConfigError, match="groups make cohorts below"):
        report(from_tree({**small, "privacy": {"epsilon": 3.0}}), 26)
