"""A run whose training has a mechanism from outside: planned, noised, charged and stated by what it declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import federation_cases as cases
import numpy as np
import outside_parts as parts
import pytest

from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.errors import ConfigError
from fedrec.model import parameters
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.mechanism import GaussianMechanism
from fedrec.privacy.registry import MECHANISMS
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import costs_of, statement_of
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.server.keys import RunKeys
from fedrec.server.noise import ServerNoise
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study


@pytest.fixture(autouse=True)
def outside() -> Iterator[None]:
    with parts.registered(MECHANISMS, laplace_of_a_test=parts.Laplace):
        yield


def _config(**sections: object) -> Config:
    privacy = {**cases.SETTINGS["privacy"], "noise": "laplace-of-a-test"}
    return cases.settings(**{"privacy": privacy, **sections})  # type: ignore[arg-type]


def test_the_plan_spends_the_budget_and_not_more() -> None:
    config = _config()
    costs = costs_of(config, cases.USERS)
    assert [cost.query for cost in costs if cost.mechanism == "laplace-of-a-test"] == ["training"]
    spent = epsilon(costs, delta_of(config, cases.USERS))
    assert cases.EPSILON * (1 - 1e-3) < spent <= cases.EPSILON


@pytest.mark.parametrize("engine", ["cohort", "grid"])
@pytest.mark.slow
def test_a_run_is_charged_what_its_mechanism_declares(federation_study: Study, tmp_path: Path, engine: str) -> None:
    config = _config()
    with open_reporter(silent=True) as reporter:
        if engine == "cohort":
            found = cases.run(
                config,
                federation_study,
                CohortDevices(config, federation_study.features, federation_study.population),
                tmp_path,
            )
        else:
            with grid_devices(config, federation_study, tmp_path / "grid", reporter) as devices:
                found = cases.run(config, federation_study, devices, tmp_path)
    with Ledger.open(tmp_path / "ledger.sqlite", None) as ledger:
        charged = {entry.query: entry.cost for entry in ledger.entries()}
        assert ledger.spent() <= cases.EPSILON
    assert charged["training"].mechanism == "laplace-of-a-test"
    assert charged["popularity"].mechanism is None
    said = statement_of(config, found.costs, delta_of(config, cases.USERS))
    assert "laplace-of-a-test" in said["mechanism"] and said["accountant"].startswith("PLD")
    assert said["queries"][-1 if found.costs[-1].query == "training" else 2]["query"] == "training"


@pytest.mark.slow
def test_engines_agree_under_it(federation_study: Study, tmp_path: Path) -> None:
    config = _config()
    one = cases.run(
        config,
        federation_study,
        CohortDevices(config, federation_study.features, federation_study.population),
        tmp_path / "cohort",
    )
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "grid", reporter) as devices,
    ):
        other = cases.run(config, federation_study, devices, tmp_path / "other")
    assert one.model is not None and other.model is not None
    # The rounding of contributions is each engine's own; all else, the noise with it, is from the seed.
    assert np.allclose(parameters.flatten(one.model), parameters.flatten(other.model), rtol=0, atol=1e-3)


def test_its_noise_is_as_large_as_its_norm_asks() -> None:
    """In L1 a row moves a sum of so many elements further than in L2, by the root of their number."""
    agreed = PrivateSum.of("training", 400, 0.5, 24, resolution_bits=16)
    cost = QueryCost("training", 2.0, 3, mechanism="laplace-of-a-test")
    config = _config()
    noise = ServerNoise(config, {"training": cost}, RunKeys(config, ServerState(None, "r")))
    request = Request("training", 1, 1, agreed)
    wanted = np.sqrt(2) * 2.0 * agreed.sensitivity * np.sqrt(400)
    assert noise.deviation(request, 24) == pytest.approx(wanted)
    assert np.std(noise.of(request)) == pytest.approx(wanted, rel=0.3)
    plain = GaussianMechanism(2.0, agreed.sensitivity, agreed.resolution)
    other = ServerNoise(config, {"metrics": QueryCost("metrics", 2.0)}, RunKeys(config, ServerState(None, "r")))
    assert other.deviation(Request("metrics", 0, 0, agreed), 24) == plain.standard_deviation


def test_it_is_the_servers_to_add() -> None:
    with pytest.raises(ConfigError, match="noise_place=server"):
        _config(privacy={**_config().privacy.model_dump(), "noise_place": "distributed"})


def test_a_ledger_of_it_needs_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no mechanism of this name"):
        QueryCost("training", 1.0, mechanism="laplace-that-nobody-has")
    with pytest.raises(ConfigError, match=r"Did you mean 'banded'\?"):
        cases.settings(privacy={"noise": "bandet"})
