"""Poisson samples that are too small for the devices: refused when a run is planned, and honest if they happen."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest

from fedrec.console import open_reporter
from fedrec.errors import ConfigError
from fedrec.privacy.ledger import Ledger
from fedrec.server import run as run_module
from fedrec.server.federate import federate, load_server_catalogue
from fedrec.server.sampled_cohorts import ALLOWED, check_sampled_cohorts, too_small
from fedrec.server.sampling import Sampler
from fedrec.simulation.engines.grid_devices import grid_devices
from fedrec.simulation.study import Study

SECURE = {"protocol": "secagg+", "minimum_cohort": 12, "minimum_survivors": 10}


def test_the_chance_is_the_binomial_tail() -> None:
    exact = sum(comb(24, k) * 0.5**24 for k in range(12))
    assert too_small(24, 0.5, 12, 1) == pytest.approx(exact)
    assert too_small(24, 0.5, 12, 2) == pytest.approx(2 * exact)
    assert too_small(24, 0.5, 12, 9) == 1.0
    assert too_small(24, 0.99, 2, 5) < 1e-30
    draws = np.random.default_rng(0).binomial(1000, 0.03, 200_000)
    assert too_small(1000, 0.03, 20, 1) == pytest.approx((draws < 20).mean(), rel=0.1)


@pytest.mark.parametrize(
    ("devices", "cohort", "least", "rounds"), [(1000, 40, 20, 50), (6040, 30, 20, 20), (60, 30, 20, 5)]
)
def test_a_plan_with_small_samples_is_refused_and_what_it_names_is_the_least_that_is_not(
    devices: int, cohort: int, least: int, rounds: int
) -> None:
    def config(size: int, sampling: str = "poisson", protocol: str = "secagg+"):  # type: ignore[no-untyped-def]
        return cases.settings(
            training={"sampling": sampling, "cohort": size, "rounds": rounds},
            secure_aggregation={"protocol": protocol, "minimum_cohort": least},
        )

    with pytest.raises(ConfigError, match="minimum_cohort") as caught:
        check_sampled_cohorts(config(cohort), devices)
    enough = int(caught.value.action.split("training.cohort to ")[1].split(",")[0])
    check_sampled_cohorts(config(enough), devices)
    with pytest.raises(ConfigError):
        check_sampled_cohorts(config(enough - 1), devices)
    assert too_small(devices, enough / devices, least, rounds) <= ALLOWED
    check_sampled_cohorts(config(cohort, "fixed"), devices)
    check_sampled_cohorts(config(cohort, protocol="none"), devices)
    check_sampled_cohorts(config(cohort, "full"), devices)


def test_a_run_is_refused_before_anything_is_asked(federation_study: Study, tmp_path: Path) -> None:
    config = cases.settings(training={"sampling": "poisson", "cohort": 13}, secure_aggregation=SECURE)
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
        pytest.raises(ConfigError, match="Poisson"),
    ):
        cases.run(config, federation_study, devices, tmp_path / "server")


@pytest.mark.slow
def test_a_sample_that_is_too_small_is_noise_that_is_charged_and_says_so(
    federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "check_sampled_cohorts", lambda config, devices: None)
    monkeypatch.setattr(Sampler, "cohort", lambda self, number: range(24) if number == 2 else range(number))
    config = cases.settings(
        training={"sampling": "poisson", "cohort": 13, "rounds": 3},
        secure_aggregation=SECURE,
        collaborative={"popularity": False, "cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
        evaluation={"private_metrics": False},
    )
    with (
        open_reporter(silent=True) as reporter,
        grid_devices(config, federation_study, tmp_path / "devices", reporter) as devices,
    ):
        record = federate(
            config, load_server_catalogue(tmp_path / "devices" / "catalogue"), devices, tmp_path / "server"
        )
    lines = [json.loads(line) for line in (tmp_path / "server" / "events.jsonl").read_text().splitlines()]
    assert [(line["asked"], line["devices"], line["reason"]) for line in lines] == [
        (1, 0, "cohort-below-the-floor"),
        (24, 24, None),
        (3, 0, "cohort-below-the-floor"),
    ]
    assert lines[2]["left_out"] == {"cohort-below-the-floor": 3}
    with Ledger.open(tmp_path / "server" / "ledger.sqlite") as ledger:
        assert [entry.round for entry in ledger.entries()] == [1, 2, 3]
    assert record["stopped"] is None
