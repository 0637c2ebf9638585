"""A run without its excluded devices: whoever they are behind, and what is said where the others are too few."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import hostile_cases as hostile
import numpy as np
import pytest
from hostile_cases import hostile_devices, requests

from fedrec.client.trust import identity_of
from fedrec.data.store import EventStore
from fedrec.queries.secure_wire import Exchange
from fedrec.secagg.blame import FALSE_DEALING
from fedrec.server.aggregation_failed import AggregationFailedError
from fedrec.server.state import ServerState
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

# Who is asked is the server's to say, so devices share what the simulation lets them share.
EVERYBODY = set(range(cases.USERS))
CONFIG = cases.settings(
    secure_aggregation={"protocol": "secagg+", "minimum_cohort": 12, "minimum_survivors": 10, "dropout": 0.2}
)


def device_of(out: Path, node: int) -> bytes:
    with EventStore.open(out / "stores" / f"{node:05d}.sqlite") as store:
        return identity_of(store).public


def test_a_restarted_server_still_leaves_them_out(federation_study: Study, tmp_path: Path) -> None:
    first, second = requests(CONFIG, federation_study)
    with (
        ServerState(tmp_path / "server.sqlite", "run") as state,
        hostile_devices(CONFIG, federation_study, tmp_path, shared=True) as (devices, stage),
    ):
        devices.exclusions.keep_in(state)
        stage.put(Exchange.MASK, dict.fromkeys((3, 4), hostile.wrong_length))
        opened = devices.aggregate(first, range(cases.USERS))
        assert (opened.excluded, devices.tally) == ({"malformed": 2}, {"sum": 22, "malformed": 2})
    with (
        ServerState(tmp_path / "server.sqlite", "run") as state,
        hostile_devices(CONFIG, federation_study, tmp_path, shared=True) as (devices, stage),
    ):
        devices.exclusions.keep_in(state)
        # It does not know which nodes they are behind, so they are asked, and turned away.
        for request in (first, second):
            opened = devices.aggregate(request, range(cases.USERS))
            assert devices.tally == {"sum": 22, "excluded": 2}
            np.testing.assert_array_equal(opened.vector, stage.sum(request, EVERYBODY - {3, 4}))


def test_too_many_are_named_with_what_to_set(federation_study: Study, tmp_path: Path) -> None:
    first, _ = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path, shared=True) as (devices, _stage):
        devices.aggregate(first, range(cases.USERS))
        devices.exclusions.proved({device_of(tmp_path, node): FALSE_DEALING for node in range(5)})
        with pytest.raises(
            AggregationFailedError, match=r"5 of 24 devices are excluded.*dropout = 0.2.*0\.21"
        ) as caught:
            devices.aggregate(first, range(cases.USERS))
        assert caught.value.excluded == {FALSE_DEALING: 5}
        assert caught.value.aborted == {}


def test_suspects_are_asked_again_before_a_sum_is_given_up(federation_study: Study, tmp_path: Path) -> None:
    first, second = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path, shared=True) as (devices, _stage):
        devices.aggregate(first, range(cases.USERS))
        for _ in range(2):
            devices.exclusions.begin()
            devices.exclusions.suspected(device_of(tmp_path, node) for node in range(6))
        assert devices.aggregate(second, range(cases.USERS)).devices == cases.USERS
