"""Adaptive clipping in whole runs: towards the median from both sides, within the budget, the same in both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest

from fedrec.console import open_reporter
from fedrec.privacy.accountant import epsilon
from fedrec.privacy.run_plan import delta_of
from fedrec.server.results import RoundEvent
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study


def settings(clip: float, rounds: int = 12, **privacy: Any) -> Any:
    adaptive = {"learning_rate": 1.0, "share": 0.1}
    return cases.settings(
        privacy={"clip": clip, "adaptive_clip": adaptive, **privacy},
        training={"rounds": rounds, "learning_rate": 0.01},
        evaluation={"private_metrics": False},
    )


def shares_clipped(start: float, study: Study, out: Path) -> list[float]:
    """The share of rows that were clipped, round by round."""
    config = settings(
        start, rounds=25, epsilon=100.0, shares={"popularity": 0.01, "cooccurrence": 0.01, "training": 1.0}
    )
    devices = CohortDevices(config, study.features, study.population)
    found: list[float] = []

    def note(step: RoundEvent) -> None:
        if step.request.query == "training" and devices.last_update is not None:
            found.append(devices.last_update.clipped / devices.last_update.rows)

    cases.run(config, study, devices, out, note)
    return found


@pytest.mark.parametrize("start", [1e-2, 200.0])
def test_half_of_the_rows_are_clipped_in_the_end(start: float, federation_study: Study, tmp_path: Path) -> None:
    shares = shares_clipped(start, federation_study, tmp_path)
    assert shares[0] == (1.0 if start < 1 else 0.0)
    assert np.mean(shares[-5:]) == pytest.approx(0.5, abs=0.3)


def test_it_costs_the_budget_and_not_more(federation_study: Study, tmp_path: Path) -> None:
    config = settings(1.0)
    devices = CohortDevices(config, federation_study.features, federation_study.population)
    outcome = cases.run(config, federation_study, devices, tmp_path)
    assert outcome.stopped is None
    assert [cost.rounds for cost in outcome.costs if cost.query == "training"] == [12]
    total = epsilon(outcome.costs, delta_of(config, cases.USERS))
    assert cases.EPSILON * 0.998 < total <= cases.EPSILON


def test_devices_with_stores_give_the_same_clips(federation_study: Study, tmp_path: Path) -> None:
    config = settings(1.0, rounds=3)
    clips: dict[str, list[float]] = {"cohort": [], "grid": []}
    devices = CohortDevices(config, federation_study.features, federation_study.population)

    def taker(name: str) -> Any:
        return lambda step: clips[name].append(step.request.settings.get("clip", 0.0))

    cases.run(config, federation_study, devices, tmp_path / "cohort", taker("cohort"))
    with open_reporter(silent=True) as reporter, grid_devices(config, federation_study, tmp_path, reporter) as grid:
        cases.run(config, federation_study, grid, tmp_path / "grid", taker("grid"))
    assert len(set(clips["cohort"][2:])) == 3
    np.testing.assert_allclose(clips["grid"], clips["cohort"], rtol=1e-3)
