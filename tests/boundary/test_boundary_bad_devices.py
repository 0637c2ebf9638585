"""Devices that are broken, empty or hostile: a round's sum is exactly that of the good ones."""

from __future__ import annotations

import os
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Context, Message
from message_cases import data_of, replace_data

from fedrec.client.app import app
from fedrec.console import open_reporter
from fedrec.data.store import EventStore
from fedrec.simulation.engines import grid_devices as engine
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

CONFIG = cases.settings()
MISSING, DAMAGED, EMPTY_FILE, IDLE, GARBAGE, RAISING = range(6)
BAD = {MISSING, DAMAGED, EMPTY_FILE, GARBAGE, RAISING}
GOOD = [place for place in range(cases.USERS) if place not in BAD]


def hostile(message: Message, context: Context) -> Message:
    """The app, but on two devices."""
    if context.node_id == RAISING:
        raise MemoryError
    reply = app(message, context)
    if context.node_id == GARBAGE:
        share = data_of(reply, "share")
        noise = os.urandom(len(share) - 1) + b"\xff"
        replace_data(reply, "share", noise)
    return reply


def spoil(stores: Path) -> None:
    def path(place: int) -> Path:
        return stores / f"{place:05d}.sqlite"

    path(MISSING).unlink()
    raw = bytearray(path(DAMAGED).read_bytes())
    raw[1024:] = os.urandom(len(raw) - 1024)
    path(DAMAGED).write_bytes(bytes(raw))
    path(EMPTY_FILE).write_bytes(b"")
    path(IDLE).unlink()
    EventStore.create(path(IDLE)).close()


@pytest.fixture
def devices_of_all_kinds(federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _, stores = cases.place(federation_study, tmp_path)
    spoil(stores)
    monkeypatch.setattr(engine, "app", hostile)
    return tmp_path


def test_the_sum_is_exactly_that_of_the_good_devices(devices_of_all_kinds: Path, federation_study: Study) -> None:
    request = cases.popularity_question(CONFIG, federation_study)
    total = None
    for place in GOOD:
        store = devices_of_all_kinds / "stores" / f"{place:05d}.sqlite"
        share = cases.device(CONFIG, devices_of_all_kinds / "catalogue", store).answer(
            cases.envelope(request, federation_study), "alone"
        )
        total = request.sum.add(total, share)
    with (
        open_reporter(silent=True) as reporter,
        engine.grid_devices(CONFIG, federation_study, devices_of_all_kinds, reporter) as devices,
    ):
        opened = devices.aggregate(request, range(cases.USERS))
        np.testing.assert_array_equal(opened.vector, request.sum.open(total))
        assert opened.devices == len(GOOD)
        assert devices.tally == {"sum": len(GOOD), "failed": 4, "malformed": 1}
    assert np.abs(opened.vector).sum() > 1


def test_a_whole_run_goes_on_with_the_good_devices(devices_of_all_kinds: Path, federation_study: Study) -> None:
    quiet = cases.settings(privacy={"epsilon": None})
    alone = CohortDevices(
        quiet,
        federation_study.features,
        federation_study.population.take(np.array([place for place in GOOD if place != IDLE])),
    )
    survivors: list[int] = []
    with (
        open_reporter(silent=True) as reporter,
        engine.grid_devices(quiet, federation_study, devices_of_all_kinds, reporter) as devices,
    ):
        outcome = cases.run(
            quiet,
            federation_study,
            devices,
            devices_of_all_kinds / "server",
            lambda step: survivors.append(step.opened.devices),
        )
    assert survivors == [len(GOOD)] * 6
    expected = cases.run(quiet, federation_study, alone, devices_of_all_kinds / "alone")
    np.testing.assert_allclose(outcome.collaborative.popularity, expected.collaborative.popularity, atol=1e-4)
