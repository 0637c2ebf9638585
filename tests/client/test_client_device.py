"""A device as a whole: from Flower's settings and a message to a share, or to a refusal that tells nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from fedrec.client.app import app
from fedrec.client.device import device_of
from fedrec.client.query_handler import QueryHandler
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ContentError, ProtocolError, StoreError
from fedrec.message_records import to_records
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.queries.wire import FAILED, REFUSED, Envelope
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.study import Study
from fedrec.users import UserBatch

CONFIG = cases.settings()
SECRET = "a-secret-of-ann"


@dataclass
class Place:
    """One device's files."""

    study: Study
    catalogue: Path
    store: Path

    def answer(self, asked: Envelope | None = None, run: str = "run") -> bytes:
        return cases.device(CONFIG, self.catalogue, self.store).answer(asked or self.asked(), run)

    def asked(self, session: str = "first") -> Envelope:
        return cases.envelope(cases.popularity_question(CONFIG, self.study), self.study, session)

    @property
    def sum(self) -> PrivateSum:
        return self.asked().request.sum


@pytest.fixture(scope="module")
def catalogue(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cases.place(federation_study, tmp_path_factory.mktemp("placed"))[0]


@pytest.fixture
def place(federation_study: Study, catalogue: Path, tmp_path: Path) -> Iterator[Place]:
    with EventStore.create(tmp_path / f"{SECRET}.sqlite") as store:
        store.add_events(SECRET, [Event(item, 1) for item in federation_study.features.ids[:4]])
    yield Place(federation_study, catalogue, tmp_path / f"{SECRET}.sqlite")


def test_rows_are_computed_one_by_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a sum over a batch is rounded depends on the rows in it, so that one user could move another's gradient."""
    settings = cases.settings(model={"tower": True}, privacy={"unit": "example", "epsilon": 8.0, "delta": 1e-4})
    device = cases.device(settings, place.catalogue, place.store)
    seen: list[tuple[int, int]] = []
    right = QueryHandler.answer

    def watched(self: QueryHandler, request: Request, population: UserBatch, noise: Any = None) -> Any:
        seen.append((len(population), self.config.speed.batch_rows))
        return right(self, request, population, noise)

    monkeypatch.setattr(QueryHandler, "answer", watched)
    with EventStore.open(place.store) as store:
        store.add_events("second", [Event(item, 1) for item in place.study.features.ids[2:7]])
        device.elements(store, place.asked().request)
    assert seen == [(1, 1), (1, 1)]
    assert settings.speed.batch_rows > 1, "as the settings say it is faster"


def test_a_share_is_what_the_users_events_add(place: Place) -> None:
    opened = place.sum.open(place.sum.add(None, place.answer()))
    expected = np.zeros(cases.ITEMS)
    expected[:4] = 0.5
    np.testing.assert_array_equal(opened, expected)


@pytest.mark.parametrize("users", [(), ("bob",), ("bob", "cid")])
def test_a_device_without_events_answers_zeros_of_the_same_size(place: Place, users: tuple[str, ...]) -> None:
    size = len(place.answer())
    place.store = place.store.with_name("empty.sqlite")
    with EventStore.create(place.store) as store:
        for user in users:
            store.add_user(user)
    assert place.answer() == bytes(size)


def test_a_question_is_answered_once_by_every_process_that_opens_the_store(place: Place) -> None:
    place.answer()
    with pytest.raises(ProtocolError):
        place.answer()
    assert len(place.answer(place.asked("second"))) == place.sum.bytes_up


def test_a_question_about_another_catalogue_is_refused_before_it_counts(place: Place) -> None:
    other = Envelope(place.asked().request, "first", "0" * 64)
    with pytest.raises(ProtocolError):
        place.answer(other)
    assert place.answer()


def test_a_store_that_is_missing_or_damaged_is_an_error(place: Place) -> None:
    place.store.write_bytes(b"\0" * 4096)
    with pytest.raises(StoreError):
        place.answer()
    place.store.unlink()
    with pytest.raises(StoreError):
        place.answer()
    assert not place.store.exists()


def test_what_a_device_sets_for_itself_goes_before_what_a_run_says(place: Place, tmp_path: Path) -> None:
    accepted = tmp_path / "accepted.toml"
    accepted.write_text("[collaborative]\npopularity = false\n")
    run = {"config": CONFIG.model_dump_json(), "catalogue": "nowhere", "stores": "nowhere"}
    own = {"config": str(accepted), "catalogue": str(place.catalogue), "store": str(place.store), "simulation": True}
    with pytest.raises(ProtocolError):
        device_of(run, own).answer(place.asked(), "run")
    assert device_of(run, {**own, "config": ""}).answer(place.asked(), "run")


def test_in_a_simulation_the_partition_names_the_store(place: Place) -> None:
    run = {"catalogue": str(place.catalogue), "stores": "stores", "config": ""}
    assert device_of(run, {"partition-id": 7, "num-partitions": 9, "simulation": True}).store == Path(
        "stores/00007.sqlite"
    )


@pytest.mark.parametrize(
    ("run", "node", "error"),
    [
        ({}, {}, ConfigError),
        ({"catalogue": "", "store": "x"}, {}, ConfigError),
        ({"catalogue": "nowhere", "config": "{"}, {"store": "x"}, ConfigError),
        ({"catalogue": "nowhere", "config": "missing.toml"}, {"store": "x"}, ConfigError),
    ],
)
def test_settings_that_lead_nowhere_say_so(run: dict[str, Any], node: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        device_of(run, {**node, "simulation": True})


def test_a_catalogue_that_is_not_there_says_so_when_it_is_needed() -> None:
    device = device_of({"catalogue": "nowhere"}, {"store": "x", "simulation": True})
    for _ in range(2):
        with pytest.raises(ContentError, match=r"features\.safetensors"):
            device.device_context.check_catalogue("digest")


def test_a_device_needs_a_store(place: Place) -> None:
    with pytest.raises(ConfigError):
        device_of({"catalogue": str(place.catalogue), "stores": "x"}, {"simulation": True})


# The app: whatever happens, the server sees a share or one of two fixed texts.


def content_of(asked: Envelope) -> RecordDict:
    return to_records(asked.fields(), asked.parts())


def say(place: Place, content: RecordDict) -> Message:
    config = {"config": CONFIG.model_dump_json(), "catalogue": str(place.catalogue)}
    context = Context(77, 0, {"store": str(place.store), "simulation": True}, RecordDict(), {**config})
    with InProcessGrid(app, {0: context}, run_id=77) as grid:
        (reply,) = grid.send_and_receive([Message(content, 0, "query.private_sum", group_id="g")])
    return reply


def no_records(place: Place) -> RecordDict:
    return RecordDict()


def a_record_too_many(place: Place) -> RecordDict:
    content = content_of(place.asked())
    content["items"] = ConfigRecord({"want": place.study.features.ids[0]})
    return content


def another_kind_of_record(place: Place) -> RecordDict:
    return RecordDict({"fields": ArrayRecord(), "arrays": ArrayRecord()})


def a_shape_that_lies(place: Place) -> RecordDict:
    content = content_of(place.asked())
    content["fields"].update({"array.pool": b"1234", "dtype.pool": "int32", "shape.pool": [10**9]})
    return content


def half_an_array(place: Place) -> RecordDict:
    content = content_of(place.asked())
    content["fields"]["array.pool"] = b"1234"
    return content


def a_small_array_by_itself(place: Place) -> RecordDict:
    content = content_of(place.asked())
    content["arrays"] = ArrayRecord({"pool": Array("int32", (1,), "fedrec.raw", b"1234")})
    return content


def a_wider_bound(place: Place) -> RecordDict:
    content = content_of(place.asked())
    header = json.loads(str(content["fields"]["request"]))
    header["sum"]["bound"] = 64.0
    content["fields"]["request"] = json.dumps(header)
    return content


@pytest.mark.parametrize(
    "make",
    [
        *(no_records, a_record_too_many, another_kind_of_record, a_shape_that_lies, half_an_array),
        *(a_small_array_by_itself, a_wider_bound),
    ],
)
def test_a_bad_question_is_refused_with_a_fixed_text(make: Callable[[Place], RecordDict], place: Place) -> None:
    reply = say(place, make(place))
    assert (reply.error.code, reply.error.reason) == REFUSED


def test_a_replayed_message_is_refused_with_a_fixed_text(place: Place) -> None:
    asked = content_of(place.asked())
    assert say(place, asked).has_content()
    reply = say(place, asked)
    assert (reply.error.code, reply.error.reason) == REFUSED


def test_a_failure_keeps_its_reason_to_the_device(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.store.write_bytes(b"no store")
    reply = say(place, content_of(place.asked()))
    assert (reply.error.code, reply.error.reason) == FAILED
    assert SECRET not in repr(reply)
    assert SECRET in caplog.text


def test_a_defect_of_the_device_is_no_way_out_either(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"{SECRET} bought i00001")

    monkeypatch.setattr("fedrec.client.device.claim", broken)
    reply = say(place, content_of(place.asked()))
    assert (reply.error.code, reply.error.reason) == FAILED
    assert SECRET not in repr(reply)


@pytest.mark.parametrize("where", ["load_population.load_population", "query_handler.QueryHandler.answer"])
def test_a_defect_that_a_store_brings_about_is_answered_with_zeros_and_told_nobody(
    where: str, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"{SECRET} bought i00001")

    size = len(place.answer())
    monkeypatch.setattr(f"fedrec.client.{where}", broken)
    assert place.answer(place.asked("second")) == bytes(size)
    assert "RuntimeError" in caplog.text and "bought" not in caplog.text


def test_a_device_with_more_users_than_the_sum_has_room_for_answers_zeros_of_the_same_size(place: Place) -> None:
    size = len(place.answer())
    with EventStore.open(place.store) as store:
        for user in range(cases.USERS):
            store.add_events(f"user {user}", [Event(place.study.features.ids[0], 1)])
    assert place.answer(place.asked("second")) == bytes(size)
