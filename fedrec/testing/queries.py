"""What every query owes, both halves together: a suite that a query's test class inherits.

    class TestMine(QueryContract):
        query = "mine"
        settings = {"queries": {"mine": {}}}

The query must be registered.  Everything is checked on a small shop, with the code of real devices and a real run.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message
from numpy.typing import NDArray

import fedrec.client
from fedrec.client.device import Device, DeviceContext
from fedrec.client.query_handler import QueryHandler
from fedrec.client.request_policy import check_agreed
from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.content.features import save_features
from fedrec.data.schema import Event, Note
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError
from fedrec.privacy.accountant import epsilon
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.local import local_cost
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import costs_of
from fedrec.queries.query import Query
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.queries.wire import Envelope
from fedrec.randomness import key
from fedrec.server.results import AggregateResult, RoundEvent
from fedrec.simulation.engines import grid_devices as grid_engine
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study
from fedrec.testing import federation
from fedrec.testing.neighbours import Neighbours, hostile_batches, worst_ratio
from fedrec.training.local_noise import local_noise_of
from fedrec.users import UserBatch

_SLACK = 1e-5
# Devices that differ as much as devices can: without events, with all of them, and with words that are found again.
_IDLE, _BUSY, _PLANTED = 0, 1, 2
_SECRET_NOTE = "note-canary lantern marmalade-31 quokka"
_SECRET_ITEM = "item-canary-e07d44"


class InterruptedRun(BaseException):
    """Stands for a kill: nothing catches it."""


class QueryContract:
    """Tests of one query, for each privacy unit that it protects.

    ``query``: its name.  ``settings``: a settings tree that asks it.  ``units``: what it protects; a config that asks
    it for the other unit must be refused.  ``draws``: how many neighbouring inputs are searched.
    """

    query: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]]
    units: ClassVar[tuple[str, ...]] = ("user", "example")
    draws: ClassVar[int] = 60

    # What the tests stand on

    @pytest.fixture(scope="class")
    @classmethod
    def study(cls, tmp_path_factory: pytest.TempPathFactory) -> Study:
        return shared_study(tmp_path_factory)

    @pytest.fixture(scope="class", params=["user", "example"])
    @classmethod
    def config(cls, request: pytest.FixtureRequest) -> Config:
        if request.param not in cls.units:
            with pytest.raises(ConfigError):
                federation.settings(cls.settings, request.param)
            pytest.skip(f"{cls.query} refuses to protect one {request.param}, as it says")
        return federation.settings(cls.settings, request.param)

    @pytest.fixture(scope="class")
    @classmethod
    def asked(cls, config: Config, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Asked:
        """The requests for this query of a whole run, what the run made of them, and its ledger."""
        return Asked.of(cls.query, config, study, tmp_path_factory.mktemp("asked"))

    # What leaves

    def test_a_config_asks_it(self, config: Config, asked: Asked) -> None:
        wanted = [(self.query, number) for number in QUERIES[self.query].rounds(config)]
        assert wanted, "the settings of this contract do not ask the query"
        assert [(request.query, request.round) for request in asked.requests] == wanted

    def test_any_history_gives_a_vector_of_the_agreed_length_within_the_bound(
        self, config: Config, study: Study, asked: Asked
    ) -> None:
        request = asked.last
        for batch in hostile_batches(study):
            vector, rows = contribution(config, study, request, batch)
            assert vector.shape == (request.sum.length,) and vector.dtype == np.float64
            assert np.isfinite(vector).all()
            assert rows <= request.sum.rows
            assert np.linalg.norm(vector) <= rows * request.sum.bound * (1 + _SLACK)
            if not request.sum.rotation:
                assert np.abs(vector).max(initial=0) <= rows * request.sum.element_bound * (1 + _SLACK)
            request.sum.encode(vector, rows)  # raises where it is beyond what was agreed

    def test_each_row_is_within_the_bound(self, config: Config, study: Study, asked: Asked) -> None:
        for user in range(len(study.population)):
            vector, rows = contribution(config, study, asked.last, study.population.take(np.array([user])))
            assert np.linalg.norm(vector) <= rows * asked.last.sum.bound * (1 + _SLACK)

    def test_neighbours_move_the_sum_by_no_more_than_it_declares(
        self, config: Config, study: Study, asked: Asked
    ) -> None:
        """After rounding, rotation and weights: what is compared is what would be masked and sent."""
        request = asked.last

        def encoded(batch: UserBatch) -> NDArray[np.float64]:
            vector, rows = contribution(config, study, request, batch)
            steps = request.sum.elements(vector, rows, key=key(7, "rounding of neighbours"))
            return request.sum.ring.decode(steps, request.sum.resolution)

        found = worst_ratio(Neighbours(study, config.privacy.unit), encoded, self.draws)
        assert found <= request.sum.sensitivity * (1 + _SLACK)

    def test_devices_of_neighbours_do_the_same_but_for_the_contribution(
        self, config: Config, study: Study, asked: Asked, tmp_path: Path
    ) -> None:
        """Record and replay: the same randomness, two stores that differ in one event, or in all of one user."""
        save_features(study.features, study.encoders, tmp_path / "catalogue")
        # What is reckoned once in a process, such as the plan, is reckoned before.
        first = _store(tmp_path / "first.sqlite", [study.features.ids[1]], held=None)
        _replayed(config, tmp_path / "catalogue", first, asked.last, run="before")
        for number, (with_it, without) in enumerate(_neighbouring_stores(study, config.privacy.unit, tmp_path)):
            seen = [
                _replayed(config, tmp_path / "catalogue", store, asked.last, run=f"replay {number}")
                for store in (with_it, without)
            ]
            assert seen[0].kind == seen[1].kind, "whether and how a device answers depends on its store"
            assert seen[0].size == seen[1].size, "the size of an answer depends on the store"
            ran, other = (set(one.branches) for one in seen)
            assert seen[0].branches == seen[1].branches, f"a device's code branches by its store: {sorted(ran ^ other)}"

    def test_what_leaves_on_the_wire_has_one_form_and_one_size(
        self, config: Config, study: Study, tmp_path: Path
    ) -> None:
        """The wire spy: of all messages of a run, a device without events sends as much as a full one."""
        with _wire(config, study, tmp_path) as messages:
            pass
        mine = [(sent, reply) for sent, reply in messages if sent.metadata.group_id.split()[0] == self.query]
        assert {sent.metadata.dst_node_id for sent, _ in mine} >= {_IDLE, _BUSY, _PLANTED}, "the spy did not see it"
        sizes: dict[str, set[tuple[int, int]]] = {}
        for sent, reply in mine:
            assert not reply.has_error(), reply.error
            assert set(reply.content) == {"fields", "arrays"}
            fields, arrays = reply.content["fields"], reply.content["arrays"]
            assert isinstance(fields, ConfigRecord) and isinstance(arrays, ArrayRecord)
            assert dict(fields) == {"format": 1, "protocol": "none"}
            assert list(arrays) == ["share"]
            size = len(arrays["share"].data)
            sizes.setdefault(sent.metadata.group_id, set()).add((size, len(fields)))
            for secret in (_SECRET_NOTE.encode(), _SECRET_ITEM.encode()):
                assert secret not in arrays["share"].data
        assert all(len(found) == 1 for found in sizes.values()), sizes

    # Who checks it

    def test_the_request_of_these_settings_is_agreed(self, config: Config, study: Study, asked: Asked) -> None:
        for request in asked.requests:
            check_agreed(config, request, study.features)

    def test_a_request_that_differs_in_any_field_is_refused(self, config: Config, study: Study, asked: Asked) -> None:
        for changed, how in _changed(asked.last):
            with pytest.raises(ProtocolError):
                check_agreed(config, changed, study.features)
                pytest.fail(f"a request with {how} was agreed to")

    def test_it_is_not_answered_where_the_settings_leave_it_out(self, study: Study, asked: Asked) -> None:
        with pytest.raises(ProtocolError):
            check_agreed(federation.settings({}), asked.last, study.features)

    # What it costs, and what is made of it

    def test_plan_charge_and_ledger_are_one(self, config: Config, study: Study, asked: Asked) -> None:
        planned = {cost.query: cost for cost in costs_of(config, len(study.population))}[self.query]
        charged = [row for row in asked.ledger if row.query == self.query]
        assert [row.round for row in charged] == list(QUERIES[self.query].rounds(config))
        assert planned.rounds == len(charged)
        for row in charged:
            assert row.cost is not None
            assert row.cost == dataclasses.replace(planned, rounds=1)
        spent = [row.cost for row in asked.ledger if row.cost is not None]
        assert config.privacy.epsilon is not None
        assert epsilon(spent, delta_of(config, len(study.population))) <= config.privacy.epsilon

    def test_a_run_that_was_killed_goes_on_and_pays_once(
        self, config: Config, study: Study, asked: Asked, tmp_path: Path
    ) -> None:
        first = QUERIES[self.query].rounds(config)[0]

        def killed(event: RoundEvent) -> None:
            if (event.request.query, event.request.round) == (self.query, first):
                raise InterruptedRun

        with pytest.raises(InterruptedRun), federation.opened_run(config, study, tmp_path, observe=killed) as opened:
            opened.run()
        again = federation.run(config, study, tmp_path)
        assert_same(again.results, asked.results)
        assert_same(again.collaborative.arrays(), asked.arrays)
        with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
            assert [(row.query, row.round) for row in ledger.entries()] == [
                (row.query, row.round) for row in asked.ledger
            ]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a whole run asked of its devices for one query, and what it left."""

    requests: tuple[Request, ...]
    results: Mapping[str, Any]
    arrays: Mapping[str, Any]
    ledger: tuple[Any, ...]

    @property
    def last(self) -> Request:
        """The request of the last round: by then parameters and directions are no longer the first ones."""
        return self.requests[-1]

    @classmethod
    def of(cls, query: str, config: Config, study: Study, out: Path) -> Asked:
        """Run, and keep the requests."""
        requests: list[Request] = []

        class Noting(CohortDevices):
            def aggregate(self, request: Request, cohort: Any) -> AggregateResult:
                if request.query == query:
                    requests.append(request)
                return super().aggregate(request, cohort)

        result = federation.run(config, study, out, devices=Noting(config, study.features, study.population))
        with Ledger.open(out / "ledger.sqlite") as ledger:
            rows = tuple(ledger.entries())
        return cls(tuple(requests), result.results, result.collaborative.arrays(), rows)


_studies: dict[str, Study] = {}


def shared_study(factory: pytest.TempPathFactory) -> Study:
    """The shop of all contracts of this process, made once."""
    if "study" not in _studies:
        _studies["study"] = federation.make_study(factory.mktemp("contract") / "shop")
    return _studies["study"]


def contribution(config: Config, study: Study, request: Request, batch: UserBatch) -> tuple[NDArray[np.float64], int]:
    """What the users of a batch add, and of how many rows it is, by the code of a device."""
    handler = _handler(config, study)
    noise = None
    if handler.encoder(request.query).adds_own_noise:
        events = int(batch.histories.lengths.sum())
        noise = local_noise_of(config, request.round, local_cost(config, events, len(batch)), batch)
    return handler.answer(request, batch, noise), handler.rows(request, batch)


_handlers: dict[tuple[str, int], QueryHandler] = {}


def _handler(config: Config, study: Study) -> QueryHandler:
    """Kept, since some encoders build a model; a broken query that changes its settings gets another."""
    name = (config.model_dump_json(), id(study))
    if name not in _handlers:
        _handlers.clear()
        _handlers[name] = QueryHandler(config, study.features)
    return _handlers[name]


def assert_same(one: Any, other: Any) -> None:
    """Equal values, arrays to the last bit, through mappings and dataclasses."""
    if isinstance(one, Mapping):
        assert set(one) == set(other)
        for name in one:
            assert_same(one[name], other[name])
    elif dataclasses.is_dataclass(one) and not isinstance(one, type):
        for part in dataclasses.fields(one):
            assert_same(getattr(one, part.name), getattr(other, part.name))
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other or (one != one and other != other)


def _changed(request: Request) -> Iterator[tuple[Request, str]]:
    """The request with one part changed, each in turn, and what was changed."""
    yield dataclasses.replace(request, round=request.round + 1000), "another round"
    yield dataclasses.replace(request, number=request.number + 1), "another number"
    for name, value in dataclasses.asdict(request.sum).items():
        for other in _other_values(name, value):
            if other == value:
                continue
            try:
                agreed = dataclasses.replace(request.sum, **{name: other})
            except Exception:  # a sum that cannot be is refused before it is compared
                continue
            yield dataclasses.replace(request, sum=agreed), f"sum.{name} {other!r}"
    for name, told in request.settings.items():
        if name in ("users", "devices"):
            continue  # counts are the server's to say
        rest = {key: value for key, value in request.settings.items() if key != name}
        yield dataclasses.replace(request, settings=rest), f"no setting {name}"
        changed = told + 1 if isinstance(told, int | float) else f"{told}x"
        yield dataclasses.replace(request, settings={**request.settings, name: changed * 1000}), f"setting {name}"
    yield dataclasses.replace(request, settings={**request.settings, "more": 1}), "a setting too many"
    more = {**request.arrays, "more": np.zeros(1, np.float32)}
    yield dataclasses.replace(request, arrays=more), "an array too many"
    for name, array in request.arrays.items():
        rest_of = {key: value for key, value in request.arrays.items() if key != name}
        yield dataclasses.replace(request, arrays=rest_of), f"no array {name}"
        for other, how in ((array.astype(_other_type(array)), "another type"), (array[None], "another shape")):
            yield dataclasses.replace(request, arrays={**rest_of, name: other}), f"array {name} of {how}"


def _other_values(name: str, value: Any) -> list[Any]:
    match value:
        case str():
            return ["another"] if name == "name" else ["", "ab" * 32 if value != "ab" * 32 else "cd" * 32]
        case int():
            return [] if name == "rows" else [value + 1]
        case float():
            return [value * 2, value / 2] if value else [1e-3]
    return []


def _other_type(array: NDArray[Any]) -> Any:
    return np.int64 if array.dtype.kind == "f" else np.float32


@dataclasses.dataclass(frozen=True)
class Replay:
    """What can be seen of a device that answered: the kind of answer, its length, and the lines that ran."""

    kind: str
    size: int
    branches: tuple[tuple[str, int], ...]


def _replayed(config: Config, catalogue: Path, store: Path, request: Request, *, run: str) -> Replay:
    """Let a device answer, with randomness from the seed, and take down what its code did."""
    context = DeviceContext(config, catalogue)
    asked = Envelope(request, "session", context.catalogue)
    device = Device(context, store)
    device.device_context.handler.encoder(request.query)  # importing is no answer
    lines: list[tuple[str, int]] = []
    folder = str(Path(fedrec.client.__file__).parent)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        # Reading the store is a loop over what it holds; a module's own lines run when it is first imported.
        if not code.co_filename.startswith(folder) or code.co_filename.endswith("load_population.py"):
            return None
        if code.co_name == "<module>":
            return None
        if event == "line":
            lines.append((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        answer, kind = device.answer(asked, run), "share"
    except Exception as error:
        answer, kind = b"", type(error).__name__
    finally:
        sys.settrace(before)
    return Replay(kind, len(answer), tuple(lines))


def _neighbouring_stores(study: Study, unit: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """Pairs of stores: with and without one event, and for unit user with and without all of a user."""
    ids = study.features.ids
    for number, history in enumerate(([], [3], [3, 5, 8], list(range(40)))):
        items = [ids[item] for item in history]
        yield (
            _store(out / f"{number}-with.sqlite", [*items, ids[60]], held=ids[90]),
            _store(out / f"{number}-without.sqlite", items, held=ids[90]),
        )
    if unit == "user":
        everything = _store(out / "all.sqlite", list(ids[:50]), held=ids[90], notes=[_SECRET_NOTE])
        yield everything, _store(out / "nothing.sqlite", [], held=None)


def _store(path: Path, items: list[str], *, held: str | None, notes: list[str] | None = None) -> Path:
    with EventStore.create(path, device_name="one") as store, store.transaction():
        store.add_user("one")
        store.add_events("one", [Event(item, at + 1) for at, item in enumerate(items)])
        if held is not None:
            store.add_events("one", [Event(held, len(items) + 1)])
            store.set_held_out("one", held, None)
        for note in notes or ():
            store.add_note("one", Note(note))
    return path


@contextmanager
def _wire(config: Config, study: Study, out: Path) -> Iterator[list[tuple[Message, Message]]]:
    """All messages of a run of engine grid over planted devices."""
    seen: list[tuple[Message, Message]] = []
    with open_reporter(silent=True) as reporter:
        _, stores = grid_engine.place_devices(study, out, reporter)
        _plant(study, stores)
        with grid_engine.grid_devices(config, study, out, reporter, spy=lambda *pair: seen.append(pair)) as devices:
            federation.run(config, study, out / "server", devices=devices)
    yield seen


def _plant(study: Study, stores: Path) -> None:
    (stores / f"{_IDLE:05d}.sqlite").unlink()
    _store(stores / f"{_IDLE:05d}.sqlite", [], held=None)
    (stores / f"{_BUSY:05d}.sqlite").unlink()
    _store(stores / f"{_BUSY:05d}.sqlite", list(study.features.ids[:-1]), held=study.features.ids[-1])
    (stores / f"{_PLANTED:05d}.sqlite").unlink()
    items = [_SECRET_ITEM, *study.features.ids[:5]]
    _store(stores / f"{_PLANTED:05d}.sqlite", items, held=study.features.ids[9], notes=[_SECRET_NOTE])


def registered(query: Query) -> Query:
    """Register a query for the time of a test; the caller unregisters it by name."""
    return QUERIES.register(query.name)(query)
