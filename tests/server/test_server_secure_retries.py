"""Attempts at a secure sum that fail, and a server that is cut off between two exchanges: what is asked again opens,
and every abort is on the record by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import federation_cases as cases
import hostile_cases as hostile
import numpy as np
import pytest
from hostile_cases import Act, Stage, Turn, hostile_devices, requests

from fedrec.queries.secure_wire import Exchange
from fedrec.release.bundle import read_release
from fedrec.secagg.errors import Reason
from fedrec.server.aggregation_failed import AGGREGATION_FAILED, AggregationFailedError
from fedrec.server.federate import ServerCatalogue, federate, load_server_catalogue
from fedrec.server.secure_devices import SecureDevices
from fedrec.server.stragglers import OpenExchange
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

EVERYBODY = set(range(cases.USERS))
# Eleven of 24 may be missing.
SECURE = {"protocol": "secagg+", "minimum_cohort": 12, "minimum_survivors": 10, "dropout": 0.46, "colluding": 0.0}
SECURE |= {"attempts": 2}
CONFIG = cases.settings(secure_aggregation=SECURE)
# Two sums.
SHORT = cases.settings(
    secure_aggregation=SECURE,
    collaborative={"cooccurrence": {"enabled": False}, "scoring": {"weight": 0.0}},
    training={"rounds": 1},
    evaluation={"private_metrics": False},
)


class Cut(BaseException):
    """Stands for the server being killed: nothing in the project catches it."""


def once(act: Act, stage: Stage) -> Act:
    """Do it in the first attempt; from then on the device is well."""

    def acted(turn: Turn) -> object:
        stage.acts.pop((turn.node, turn.exchange))
        return act(turn)

    return acted  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("exchange", "count", "reason"),
    [
        (Exchange.ADVERTISE, 13, Reason.SMALL_COHORT),
        (Exchange.SHARE, 15, Reason.FEW_SURVIVORS),
        (Exchange.CHECK, 15, Reason.FEW_SURVIVORS),
        (Exchange.MASK, 15, Reason.FEW_SURVIVORS),
        (Exchange.CONFIRM, 24, Reason.NO_QUORUM),
        (Exchange.UNMASK, 13, Reason.SECRET_LOST),
    ],
)
def test_an_attempt_that_fails_in_any_exchange_is_followed_by_one_that_opens(
    exchange: Exchange, count: int, reason: Reason, federation_study: Study, tmp_path: Path
) -> None:
    first, _ = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path, shared=True) as (devices, stage):
        stage.put(exchange, {node: once(hostile.crash, stage) for node in range(count)})
        opened = devices.aggregate(first, range(cases.USERS))
        # Whoever has helped to open a sum of this round is in no other one of it.
        who = set(range(count)) if exchange is Exchange.UNMASK else EVERYBODY
        np.testing.assert_array_equal(opened.vector, stage.sum(first, who))
        assert (opened.devices, opened.aborted) == (len(who), {reason.value: 1})
        assert devices.tally["sum"] == len(who)
        assert opened.reason is None


@contextmanager
def cut_in(devices: SecureDevices, exchange: Exchange, after: int) -> Iterator[None]:
    """Kill the server when so many devices have answered in this exchange."""
    replies = devices.dispatcher.replies

    def counted(self: object, messages: Iterator[object], open_exchange: OpenExchange) -> Iterator[object]:
        sent = list(messages)
        for count, reply in enumerate(replies(iter(sent), open_exchange)):  # type: ignore[arg-type]
            if sent[0].metadata.message_type == f"query.{exchange}" and count == after:  # type: ignore[attr-defined]
                raise Cut
            yield reply

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(devices.dispatcher), "replies", counted)
        with pytest.raises(Cut):
            yield


@pytest.mark.parametrize(
    "exchange", [Exchange.ADVERTISE, Exchange.SHARE, Exchange.CHECK, Exchange.MASK, Exchange.CONFIRM]
)
def test_a_server_that_is_killed_in_an_exchange_asks_again_in_the_same_run(
    exchange: Exchange, federation_study: Study, tmp_path: Path
) -> None:
    first, _ = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, stage):
        with cut_in(devices, exchange, 5):
            devices.aggregate(first, range(cases.USERS))
        opened = devices.aggregate(first, range(cases.USERS))
        np.testing.assert_array_equal(opened.vector, stage.sum(first, EVERYBODY))
        # Devices that have sent a vector to an attempt take part in a later one only, and the server knows its number.
        assert opened.aborted == {}


def test_a_server_that_is_killed_while_a_sum_is_opened_cannot_open_it_again_in_that_run(
    federation_study: Study, tmp_path: Path
) -> None:
    """It might be a server that wants two sums which differ by a device."""
    first, second = requests(CONFIG, federation_study)
    with hostile_devices(CONFIG, federation_study, tmp_path) as (devices, _):
        with cut_in(devices, Exchange.UNMASK, cases.USERS - 1):
            devices.aggregate(first, range(cases.USERS))
        with pytest.raises(AggregationFailedError, match="none does so again") as caught:
            devices.aggregate(first, range(cases.USERS))
        assert caught.value.aborted == {Reason.SMALL_COHORT.value: 2}
        assert devices.tally == {"refused": cases.USERS}
        assert devices.aggregate(second, range(cases.USERS)).devices == cases.USERS


@pytest.fixture(scope="module")
def server_catalogue(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> ServerCatalogue:
    return load_server_catalogue(cases.place(federation_study, tmp_path_factory.mktemp("placed"))[0])


def parameters(out: Path) -> dict[str, np.ndarray]:
    contents = read_release(out / "model").contents
    assert contents.model is not None
    assert contents.collaborative is not None
    return {**contents.model.parameters, **contents.collaborative.arrays()}


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]


def test_a_run_is_killed_in_every_exchange_and_given_up_once_and_ends_as_if_it_had_not(
    federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path
) -> None:
    """Every restart is a run of its own to Flower, with its own id, as after `flwr run` is called again."""
    with hostile_devices(SHORT, federation_study, tmp_path / "whole", shared=True) as (devices, _):
        whole = federate(SHORT, server_catalogue, devices, tmp_path / "a")
    assert whole["secure_aggregation"] == {"protocol": "secagg+", "aborted": {}, "excluded": {}}
    # Devices mask twice for a round, as often as the settings allow attempts: so it is cut off twice after that.
    for number, exchange in enumerate(one for one in Exchange if one is not Exchange.CONFIRM):
        with (
            hostile_devices(SHORT, federation_study, tmp_path / "cut", shared=True) as (devices, _),
            cut_in(devices, exchange, 3 + number),
        ):
            federate(SHORT, server_catalogue, devices, tmp_path / "b")
    with hostile_devices(SHORT, federation_study, tmp_path / "cut", shared=True) as (devices, stage):
        stage.put(Exchange.MASK, dict.fromkeys(range(15), hostile.crash))
        with pytest.raises(AggregationFailedError):
            federate(SHORT, server_catalogue, devices, tmp_path / "b")
    aggregation_failed = lines(tmp_path / "b")[-1]
    assert (aggregation_failed["reason"], aggregation_failed["devices"], aggregation_failed["bytes_up_per_device"]) == (
        AGGREGATION_FAILED,
        0,
        0,
    )
    assert aggregation_failed["aborted"] == {Reason.FEW_SURVIVORS.value: 2}
    assert aggregation_failed["left_out"] == {"failed": 15}
    assert not (tmp_path / "b" / "server.json").exists()
    with hostile_devices(SHORT, federation_study, tmp_path / "cut", shared=True) as (devices, stage):
        stage.put(Exchange.SHARE, {node: once(hostile.crash, stage) for node in range(15)})
        record = federate(SHORT, server_catalogue, devices, tmp_path / "b")
    assert record["rounds"] == lines(tmp_path / "b")
    assert record["rounds"][1]["aborted"] == {Reason.FEW_SURVIVORS.value: 1}
    assert record["secure_aggregation"]["aborted"] == {Reason.FEW_SURVIVORS.value: 3}
    opened = [line for line in record["rounds"] if line["reason"] is None]
    assert [(line["query"], line["devices"]) for line in opened] == [
        (line["query"], line["devices"]) for line in whole["rounds"]
    ]
    # A ledger's head hashes the time at which its rows were written.
    assert {**record["privacy"], "ledger": None} == {**whole["privacy"], "ledger": None}
    for name, array in parameters(tmp_path / "a").items():
        np.testing.assert_allclose(parameters(tmp_path / "b")[name], array, rtol=1e-5, atol=1e-5, err_msg=name)
