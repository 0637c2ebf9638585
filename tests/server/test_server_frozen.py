"""Frozen parts of the model in the server's state: as the run began with them, whatever a restart computes."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest

from fedrec.errors import StoreError
from fedrec.model import parameters, warm_start
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

FROZEN = np.linspace(-1, 1, 5, dtype=np.float32)


def test_what_the_run_began_with_stays(tmp_path: Path) -> None:
    with ServerState(tmp_path / "s.sqlite", "r") as state:
        np.testing.assert_array_equal(state.pinned("frozen", FROZEN), FROZEN)
        assert not state.begun
    with ServerState(tmp_path / "s.sqlite", "r") as state:
        np.testing.assert_array_equal(state.pinned("frozen", -FROZEN), FROZEN)
        with pytest.raises(StoreError, match="another model"):
            state.pinned("frozen", FROZEN[1:])


def test_a_model_without_frozen_parts_keeps_nothing(tmp_path: Path) -> None:
    with ServerState(tmp_path / "s.sqlite", "r") as state:
        assert state.pinned("frozen", FROZEN[:0]).shape == (0,)
        np.testing.assert_array_equal(state.pinned("frozen", FROZEN), FROZEN)


def test_a_run_that_goes_on_elsewhere_has_the_same_frozen_parts(
    federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine's decomposition turns directions around; what was trained so far belongs to the first one's."""
    config = cases.settings(model={"head_rank": 3}, privacy={"epsilon": None})
    devices = CohortDevices(config, federation_study.features, federation_study.population)
    first = cases.run(config, federation_study, devices, tmp_path / "run").model
    assert first is not None
    fit = warm_start.fit_heads

    def turned(model: object, *given: object, **named: object) -> None:
        fit(model, *given, **named)  # type: ignore[arg-type]
        for encoder in model.encoders.values():  # type: ignore[attr-defined]
            if hasattr(encoder, "down"):
                encoder.down.neg_()

    monkeypatch.setattr(warm_start, "fit_heads", turned)
    again = cases.run(config, federation_study, devices, tmp_path / "run").model
    elsewhere = cases.run(config, federation_study, devices, tmp_path / "other").model
    assert again is not None and elsewhere is not None
    np.testing.assert_array_equal(parameters.flatten_frozen(again), parameters.flatten_frozen(first))
    np.testing.assert_array_equal(parameters.flatten(again), parameters.flatten(first))
    assert not np.array_equal(parameters.flatten_frozen(elsewhere), parameters.flatten_frozen(first))
