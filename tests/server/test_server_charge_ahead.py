"""When a masked sum is charged: before devices are asked to mask, in each attempt that gets so far."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import hostile_cases as hostile
import pytest
from flwr.app import Message, RecordDict
from hostile_cases import hostile_devices, requests

from fedrec.errors import BudgetExceededError
from fedrec.queries.secure_wire import Exchange
from fedrec.server.aggregation_failed import AggregationFailedError
from fedrec.server.dispatcher import Dispatcher
from fedrec.server.results import MaskedDevices
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

CONFIG = cases.settings(
    secure_aggregation={"protocol": "secagg+", "minimum_cohort": 12, "minimum_survivors": 10, "attempts": 2}
)


@pytest.mark.parametrize(("exchange", "charged"), [(Exchange.ADVERTISE, 0), (Exchange.SHARE, 0), (Exchange.MASK, 2)])
def test_attempts_that_end_before_devices_mask_are_not_charged(
    exchange: Exchange, charged: int, federation_study: Study, tmp_path: Path
) -> None:
    first, _ = requests(CONFIG, federation_study)
    calls = []
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage):
        assert isinstance(devices, MaskedDevices)
        devices.before_masking = lambda: calls.append(exchange)
        stage.put(exchange, dict.fromkeys(range(cases.USERS), hostile.crash))
        with pytest.raises(AggregationFailedError):
            devices.aggregate(first, range(cases.USERS))
    assert len(calls) == charged


def test_no_device_is_asked_to_mask_what_cannot_be_charged(federation_study: Study, tmp_path: Path) -> None:
    first, _ = requests(CONFIG, federation_study)

    def refused() -> None:
        raise BudgetExceededError("nothing is left")

    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, _):
        devices.before_masking = refused
        seen: list[str] = []
        right = Dispatcher.message

        def noted(self: Dispatcher, content: RecordDict, node: int, action: str, group: str) -> Message:
            seen.append(action)
            return right(self, content, node, action, group)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Dispatcher, "message", noted)
            with pytest.raises(BudgetExceededError):
                devices.aggregate(first, range(cases.USERS))
    assert Exchange.SHARE in seen and Exchange.MASK not in seen
