"""A simulated device that serves a slice of the population: what it adds is what its users add alone."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
import query_cases
import torch

from fedrec.client.device import Device, device_of
from fedrec.console import open_reporter
from fedrec.errors import StoreError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.queries.request import Request
from fedrec.simulation.engines.grid_devices import grid_devices, place_devices
from fedrec.simulation.study import Study

CONFIG = cases.settings()
SLICES = 3
# Each element is rounded once, to a step of 2^-20 of what one row adds.
ROUNDING = 2.0**-20


def placed(study: Study, out: Path) -> tuple[Path, Path]:
    with open_reporter(silent=True) as reporter:
        return place_devices(study, out, reporter, slices=SLICES)


def device(study: Study, out: Path, place: int, **changed: object) -> Device:
    catalogue, stores = placed(study, out)
    run = {"config": CONFIG.model_dump_json(), "catalogue": str(catalogue), "stores": str(stores), "slices": SLICES}
    return device_of({**run, **changed}, {"partition-id": place, "num-partitions": SLICES, "simulation": True})


def requests(study: Study) -> list[Request]:
    torch.manual_seed(1)
    values = parameters.flatten(build_model(CONFIG, study.features))
    return [
        cases.popularity_question(CONFIG, study),
        query_cases.training(CONFIG, 1, values, len(study.features), cases.USERS),
    ]


def opened(device: Device, request: Request, study: Study) -> np.ndarray:
    share = device.answer(cases.envelope(request, study), "run")
    return request.sum.open(request.sum.add(None, share))


def test_a_slice_adds_what_its_users_add_one_by_one(federation_study: Study, tmp_path: Path) -> None:
    for request in requests(federation_study):
        together = sum(
            opened(device(federation_study, tmp_path / "a", at), request, federation_study) for at in range(SLICES)
        )
        alone = sum(
            opened(device(federation_study, tmp_path / "b", at, slices=0), request, federation_study)
            for at in range(SLICES)
        )
        atol = 2 * SLICES * ROUNDING * request.sum.bound + 1e-6
        np.testing.assert_allclose(together, alone, rtol=0, atol=atol)
        assert np.abs(together).max() > 100 * atol


def test_a_slice_is_read_once_a_process(federation_study: Study, tmp_path: Path) -> None:
    first = device(federation_study, tmp_path, 1)
    asked = requests(federation_study)
    opened(first, asked[0], federation_study)
    kept = dict(first.device_context.slices)
    second = device(federation_study, tmp_path, 1)
    opened(second, asked[1], federation_study)
    assert second.device_context.slices[second.store] is kept[first.store]
    assert len(kept[first.store].population) == cases.USERS // SLICES


def test_a_device_of_a_person_has_no_slices(federation_study: Study, tmp_path: Path) -> None:
    _, stores = placed(federation_study, tmp_path)
    config = {"config": CONFIG.model_dump_json(), "catalogue": str(tmp_path / "catalogue"), "slices": 3}
    own = {"store": str(stores / "00000.sqlite"), "simulation": True}
    assert not device_of({**config, "slices": 0}, own).device_context.sliced


def test_devices_of_slices_are_not_those_of_users(federation_study: Study, tmp_path: Path) -> None:
    placed(federation_study, tmp_path)
    with (
        open_reporter(silent=True) as reporter,
        pytest.raises(StoreError),
        grid_devices(CONFIG, federation_study, tmp_path, reporter),
    ):
        pass
