"""Runs over secret cohorts: charged, stated and verified by their own accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import federation_cases as cases
import pytest

from fedrec.privacy.accountant import epsilon
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.participation import check_participation
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import statement_of
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study


@pytest.mark.parametrize(
    "training",
    [
        {"sampling": "fixed", "secret_cohorts": True, "cohort": 6, "rounds": 6},
        {"sampling": "balls-in-bins", "cohort": 8, "rounds": 7},
        {"sampling": "cyclic-poisson", "cohort": 6, "groups": 2, "rounds": 7},
        {"sampling": "cyclic-poisson", "cohort": 6, "groups": 3, "rounds": 7, "noise": "banded"},
    ],
)
@pytest.mark.slow
def test_a_run_is_charged_what_its_cohorts_cost(
    federation_study: Study, tmp_path: Path, training: dict[str, Any]
) -> None:
    training = dict(training)
    noise = training.pop("noise", "independent")
    config = cases.settings(training=training, privacy={"noise": noise})
    devices = CohortDevices(config, federation_study.features, federation_study.population)
    found = cases.run(config, federation_study, devices, tmp_path)
    delta = delta_of(config, cases.USERS)
    with Ledger.open(tmp_path / "ledger.sqlite", None) as ledger:
        rows = [entry for entry in ledger.entries() if entry.query == "training"]
        assert ledger.spent() == pytest.approx(epsilon(found.costs, delta), rel=1e-6)
        assert cases.EPSILON * (1 - 2e-3) < epsilon(found.costs, delta) <= cases.EPSILON
        assert check_participation(ledger.entries()) == []
    assert {row.cost.sampling for row in rows if row.cost} == {training["sampling"]}
    assert all(row.cost is not None and row.cost.amplified for row in rows)
    said = statement_of(config, found.costs, delta)
    assert said["epsilon_without_amplification"] > said["epsilon_released"] * 1.1
    assert said["epsilon_server"] is None
    assert any("stays secret" in one for one in said["trust"])
    told = next(one for one in said["queries"] if one["query"] == "training")
    assert told["amplification_claimed"]
    assert told.get("secret", False) is (training["sampling"] != "cyclic-poisson")
