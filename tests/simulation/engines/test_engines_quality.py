"""Few bits cost no quality: a run with secure aggregation ranks as well as one whose sums are never rounded."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
import torch

from fedrec.config import Config, from_tree
from fedrec.console import open_reporter
from fedrec.server.results import RoundEvent, RunResult
from fedrec.server.secure_devices import SecureDevices
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.measure import quality_of, scorer_of
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare
from simulations.benchmarks.secagg_quality import FloatDevices

USERS, ROUNDS = 40, 2


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Study]:
    directory = tmp_path_factory.mktemp("quality") / "shop"
    torch.set_num_threads(1)
    write_shop(directory, users=USERS, items=150, seed=5)
    config = from_tree(
        {
            "run": {"seed": 5, "reproducible": True},
            "content": {"text": {"dimension": 16, "vocabulary": 512}, "image": {"dimension": 8}},
            "training": {"rounds": ROUNDS, "negatives": 64},
        }
    )
    with open_reporter(silent=True) as reporter:
        return config, prepare(config, directory, reporter)


@pytest.mark.slow
def test_hit_rates_with_masks_and_without(shop: tuple[Config, Study], tmp_path: Path) -> None:
    config, study = shop
    steps: list[RoundEvent] = []
    exact = cases.run(config, study, FloatDevices(config, study.features, study.population), tmp_path / "float")
    with open_reporter(silent=True) as reporter, grid_devices(config, study, tmp_path / "devices", reporter) as devices:
        assert isinstance(devices, SecureDevices)
        masked = cases.run(config, study, devices, tmp_path / "masked", steps.append)
    assert [step.opened.devices for step in steps] == [USERS] * (2 + ROUNDS)
    before, after = measured(config, study, exact), measured(config, study, masked)
    assert max(before) > 0.2
    assert np.abs(np.subtract(before, after)).max() <= 0.002
    scores = [
        scorer_of(config, study, run.model, run.collaborative).parts_of(study.known).total for run in (exact, masked)
    ]
    finite = np.isfinite(scores[0])
    assert np.abs((scores[0] - scores[1])[finite]).max() < 5e-3 * scores[0][finite].std()
    # What was sent: the vector in whole bits, and the protocol's own bytes, far from four bytes an element.
    training = steps[-1]
    sent = training.opened.bytes_up / USERS
    assert 0 < sent - training.request.sum.bytes_up < 25_000
    assert training.request.sum.bytes_up <= 2.6 * training.request.sum.length


def measured(config: Config, study: Study, outcome: RunResult) -> tuple[float, float]:
    quality = quality_of(config, study, outcome.model, outcome.collaborative)
    assert quality.loo_99neg.hr is not None
    assert quality.loo_full.hr is not None
    return quality.loo_99neg.hr, quality.loo_full.hr
