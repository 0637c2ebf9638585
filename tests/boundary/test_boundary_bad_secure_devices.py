"""Bad devices under secure aggregation: a sum is exactly that of the devices in it, or the round fails by name;
and whatever happens in a round, everybody can take part in the next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import federation_cases as cases
import hostile_cases as hostile
import numpy as np
import pytest
from hostile_cases import Act, hostile_devices, requests

from fedrec.client.trust import identity_of
from fedrec.data.store import EventStore
from fedrec.errors import ProtocolError
from fedrec.queries.secure_wire import Exchange
from fedrec.secagg.errors import Reason
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

EVERYBODY = set(range(cases.USERS))
# Eleven of 24 may be missing.
SECURE = {"protocol": "secagg+", "minimum_cohort": 12, "minimum_survivors": 10, "dropout": 0.46, "colluding": 0.0}
CONFIG = cases.settings(secure_aggregation={**SECURE, "attempts": 1})
# What the server counts a device under that does so.
ANYWHERE: dict[Act, str] = {
    hostile.crash: "failed",
    hostile.silence: "silent",
    hostile.late: "silent",
    hostile.garbage: "malformed",
    hostile.cut_short: "malformed",
    hostile.too_long: "malformed",
    hostile.empty: "malformed",
    hostile.unsigned: "bad-signature",
}
SIGNED: dict[Exchange, dict[Act, str]] = {
    Exchange.ADVERTISE: {hostile.useless_keys: "malformed"},
    Exchange.SHARE: {hostile.replay: "out-of-turn"},
    Exchange.CHECK: {hostile.replay: "out-of-turn", hostile.false_complaints: "too-few-boxes-open"},
    Exchange.MASK: {
        hostile.replay: "out-of-turn",
        hostile.wrong_length: "malformed",
        hostile.no_receipts: "malformed",
    },
    Exchange.CONFIRM: {hostile.replay: "out-of-turn"},
    Exchange.UNMASK: {hostile.replay: "out-of-turn"},
}
# Whoever has sent its vector is in the sum, whatever it does then.
AFTER = (Exchange.CONFIRM, Exchange.UNMASK)
SIGNED_NONSENSE = (hostile.useless_keys, hostile.wrong_length, hostile.no_receipts)


@pytest.mark.parametrize("exchange", list(Exchange))
def test_devices_bad_in_every_way_in_one_exchange(exchange: Exchange, federation_study: Study, tmp_path: Path) -> None:
    """Up to eleven devices are bad, each in its own way. The sum is exactly that of the others."""
    first, second = requests(CONFIG, federation_study)
    ways = ANYWHERE | SIGNED[exchange]
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage):
        stage.put(exchange, dict(enumerate(ways)))
        opened = devices.aggregate(first, range(cases.USERS))
        bad = set() if exchange in AFTER else set(range(len(ways)))
        np.testing.assert_array_equal(opened.vector, stage.sum(first, EVERYBODY - bad))
        assert opened.devices == len(EVERYBODY - bad)
        assert devices.tally == Counter({"sum": opened.devices}) + Counter(ways.values() if bad else ())
        assert np.abs(opened.vector).sum() > 1
        # In the next round some say again what they said in this one, the others are well again. All of these are in,
        # but those that have put their name to a message of no form: they are not asked any more.
        caught = {node for node, act in enumerate(ways) if act in SIGNED_NONSENSE}
        assert devices.exclusions.counts == ({"malformed": len(caught)} if caught else {})
        replaying = {20, 21}
        stage.put(exchange, dict.fromkeys(replaying, hostile.replay))
        again = devices.aggregate(second, range(cases.USERS))
        left_out = caught if exchange in AFTER else replaying | caught
        np.testing.assert_array_equal(again.vector, stage.sum(second, EVERYBODY - left_out))
        assert again.devices == len(EVERYBODY - left_out)


@pytest.mark.parametrize("act", [hostile.false_shares, hostile.malformed_shares])
def test_false_shares_of_a_few_do_not_change_the_sum(act: Act, federation_study: Study, tmp_path: Path) -> None:
    """Nobody can tell them from true ones when they arrive; the opened secrets can."""
    first, _ = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage):
        stage.put(Exchange.UNMASK, dict.fromkeys((0, 7, 23), act))
        opened = devices.aggregate(first, range(cases.USERS))
        np.testing.assert_array_equal(opened.vector, stage.sum(first, EVERYBODY))
        assert devices.tally == {"sum": cases.USERS}


@pytest.mark.parametrize("count", [1, 5])
def test_garbage_boxes_leave_their_senders_out_and_no_round_is_lost(
    count: int, federation_study: Study, tmp_path: Path
) -> None:
    first, second = requests(CONFIG, federation_study)
    bad = set(range(count))
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage):
        for asked in (first, second):
            stage.put(Exchange.SHARE, dict.fromkeys(bad, hostile.false_boxes))
            opened = devices.aggregate(asked, range(cases.USERS))
            np.testing.assert_array_equal(opened.vector, stage.sum(asked, EVERYBODY - bad))
            assert devices.tally == {"sum": cases.USERS - count, Reason.BAD_BOXES.value: count}
            assert not devices.aborted


@pytest.mark.parametrize(
    ("exchange", "act", "count", "reason"),
    [
        (Exchange.ADVERTISE, hostile.crash, 13, Reason.SMALL_COHORT),
        (Exchange.SHARE, hostile.garbage, 15, Reason.FEW_SURVIVORS),
        (Exchange.MASK, hostile.silence, 15, Reason.FEW_SURVIVORS),
        (Exchange.UNMASK, hostile.late, 13, Reason.SECRET_LOST),
        (Exchange.CONFIRM, hostile.silence, 24, Reason.NO_QUORUM),
        (Exchange.UNMASK, hostile.false_shares, 16, Reason.SECRET_LOST),
        # One device can make a round fail; it is named.
        (Exchange.SHARE, hostile.false_commitment, 1, Reason.FALSE_SHARES),
        (Exchange.MASK, hostile.false_receipts, 1, Reason.BAD_RECEIPT),
    ],
)
def test_an_abort_has_a_name_and_costs_nobody_the_next_round(
    exchange: Exchange,
    act: Act,
    count: int,
    reason: Reason,
    federation_study: Study,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage):
        stage.put(exchange, dict.fromkeys(range(count), act))
        with pytest.raises(ProtocolError, match=reason.value):
            devices.aggregate(first, range(cases.USERS))
        assert devices.aborted == {reason.value: 1}
        out = {0} if act is hostile.false_commitment else set()
        if count == 1:
            with EventStore.open(tmp_path / "stores" / "00000.sqlite") as store:
                assert f"1 device(s): {identity_of(store).public.hex()[:16]}" in caplog.text
        stage.acts = {}
        again = devices.aggregate(second, range(cases.USERS))
        # But whoever is proved to have spoiled it.
        assert (again.devices, devices.tally) == (cases.USERS - len(out), {"sum": cases.USERS - len(out)})
        np.testing.assert_array_equal(again.vector, stage.sum(second, EVERYBODY - out))
