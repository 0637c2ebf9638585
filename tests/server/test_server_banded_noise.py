"""Banded noise on the server: the right covariance on the grid, the same after a restart, never twice for two sums."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
from scipy import stats

from fedrec import randomness
from fedrec.config import Config
from fedrec.errors import PrivacyError
from fedrec.model import parameters
from fedrec.privacy import banded
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.banded_noise import BandedNoise
from fedrec.privacy.ledger import Ledger
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.server.keys import RunKeys
from fedrec.server.noise import ServerNoise
from fedrec.server.results import RoundEvent
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

ROUNDS, BANDS, LENGTH, Z = 9, 3, 3000, 1.7


def _key(number: int) -> bytes:
    return randomness.key(9, number)


def _config(**changes: Any) -> Config:
    training = {"rounds": ROUNDS, "cohort": 8, "sampling": "cyclic"}  # 24 devices: 3 groups
    privacy = {**cases.SETTINGS["privacy"], "noise": "banded"}
    return cases.settings(training=training, privacy=privacy, evaluation={"private_metrics": False}, **changes)


def _noise(factor: float = 1.0) -> tuple[np.ndarray, float]:
    """All rounds of a server's banded noise in steps, and the steps of a multiplier and sensitivity of 1."""
    agreed = PrivateSum.of("training", LENGTH, 0.5, 24, resolution_bits=16)
    with ServerState(None, "r") as state:
        cost = QueryCost("training", Z * factor, ROUNDS, "cyclic", 1 / 3, 3)
        noise = ServerNoise(_config(), {"training": cost}, RunKeys(_config(), state))
        rounds = [noise.of(Request("training", number, number, agreed)) for number in range(1, ROUNDS + 1)]
    return np.stack(rounds) / agreed.resolution, Z * agreed.sensitivity / agreed.resolution


@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_its_noise_has_the_accounted_covariance_in_whole_steps(factor: float, accepted: bool) -> None:
    steps, unit = _noise(factor)
    assert np.array_equal(steps, np.rint(steps))
    encoded = banded.encoder(ROUNDS, banded.coefficients(ROUNDS, BANDS))
    whitened = encoded @ steps / unit
    low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], whitened.size)
    assert bool(low < float(np.sum(whitened**2)) < high) is accepted
    wanted = banded.covariance(encoded)
    spread = np.sqrt((wanted**2 + np.outer(np.diag(wanted), np.diag(wanted))) / LENGTH)
    assert bool((np.abs(steps @ steps.T / unit**2 / LENGTH - wanted) < 5 * spread).all()) is accepted


def test_a_restart_draws_the_same_noise_in_any_order() -> None:
    whole = BandedNoise(ROUNDS, BANDS, _key, Z)
    rounds = [whole.of(number, 40, 300.0) for number in range(1, ROUNDS + 1)]
    for number in (7, 7, 3, 9, 1):
        assert np.array_equal(BandedNoise(ROUNDS, BANDS, _key, Z).of(number, 40, 300.0), rounds[number - 1])
        assert np.array_equal(whole.of(number, 40, 300.0), rounds[number - 1])
    with pytest.raises(PrivacyError, match="rounds 1 to 9"):
        whole.of(10, 40, 300.0)
    with pytest.raises(PrivacyError, match="one size"):
        whole.of(3, 40, 301.0)
    with pytest.raises(PrivacyError, match="too many steps"):
        BandedNoise(ROUNDS, BANDS, _key, Z).of(1, 40, 2.0**38)


class Cut(BaseException):
    """Stands for the server being killed."""


def _conduct(study: Study, out: Path, config: Config, stop_at: int | None = None) -> np.ndarray:
    def observe(step: RoundEvent) -> None:
        if step.request.query == "training" and step.request.round == stop_at:
            raise Cut

    devices = CohortDevices(config, study.features, study.population)
    outcome = cases.run(config, study, devices, out, observe)
    assert outcome.model is not None
    with Ledger.open(out / "ledger.sqlite", None) as ledger:
        rows = [entry for entry in ledger.entries() if entry.query == "training"]
    assert len(rows) == ROUNDS
    assert all(("bands" in row.detail) is (config.privacy.noise == "banded") for row in rows)
    assert [s.minimum_separation for s in outcome.costs if s.query == "training"] == [3]
    return parameters.flatten(outcome.model)


def test_a_run_that_is_cut_off_ends_as_if_it_had_not_been(federation_study: Study, tmp_path: Path) -> None:
    whole = _conduct(federation_study, tmp_path / "whole", _config())
    with pytest.raises(Cut):
        _conduct(federation_study, tmp_path / "cut", _config(), stop_at=5)
    assert np.array_equal(_conduct(federation_study, tmp_path / "cut", _config()), whole)
    independent = _config().model_copy(
        update={"privacy": _config().privacy.model_copy(update={"noise": "independent"})}
    )
    assert not np.array_equal(_conduct(federation_study, tmp_path / "other", independent), whole)


def test_a_secret_run_goes_on_with_its_own_keys_and_then_forgets_them(federation_study: Study, tmp_path: Path) -> None:
    secret = _config(run={"reproducible": False})
    with pytest.raises(Cut):
        _conduct(federation_study, tmp_path, secret, stop_at=4)
    copy = Path(shutil.copytree(tmp_path, tmp_path.parent / "copy-of-the-cut-run"))
    one, other = _conduct(federation_study, tmp_path, secret), _conduct(federation_study, copy, secret)
    # Both went on with the keys that were kept. Else only rounding is secret and random: steps of the sum's grid.
    assert np.allclose(one, other, rtol=0, atol=1e-5)
    with ServerState(tmp_path / "server.sqlite", "a run of tests") as state:
        assert state._get("secret") is None


def test_a_state_that_lags_behind_its_ledger_does_not_use_noise_twice(federation_study: Study, tmp_path: Path) -> None:
    with pytest.raises(Cut):
        _conduct(federation_study, tmp_path, _config(), stop_at=3)
    old = (tmp_path / "server.sqlite").read_bytes()
    with pytest.raises(Cut):
        _conduct(federation_study, tmp_path, _config(), stop_at=6)
    (tmp_path / "server.sqlite").write_bytes(old)
    with pytest.raises(PrivacyError, match="used twice"):
        _conduct(federation_study, tmp_path, _config())
