"""What every query owes, both halves together: a suite that a query's test class inherits.

    class TestMine(QueryContract):
        query = "mine"
        settings = {"queries": {"mine": {}}}

The query must be registered.  Everything is checked on a small shop, with the code of real devices and a real run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.client.request_policy import check_agreed
from fedrec.config import Config
from fedrec.content.features import save_features
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError
from fedrec.message_records import from_records
from fedrec.privacy.accountant import epsilon
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import costs_of
from fedrec.queries.registry import QUERIES
from fedrec.randomness import key
from fedrec.server.results import RoundEvent
from fedrec.simulation.study import Study
from fedrec.testing import federation
from fedrec.testing.asked import Asked, assert_same, contribution, shared_study
from fedrec.testing.neighbours import Neighbours, hostile_batches, worst_ratio
from fedrec.testing.replay import (
    BUSY,
    IDLE,
    PLANTED,
    SECRET_ITEM,
    SECRET_NOTE,
    make_store,
    neighbouring_stores,
    replayed,
    wire_of,
)
from fedrec.testing.requests import changed_requests
from fedrec.users import UserBatch

_SLACK = 1e-5


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
        first = make_store(tmp_path / "first.sqlite", [study.features.ids[1]], held=None)
        replayed(config, tmp_path / "catalogue", first, asked.last, run="before")
        for number, (with_it, without, apart) in enumerate(neighbouring_stores(study, config.privacy.unit, tmp_path)):
            seen = [
                replayed(config, tmp_path / "catalogue", store, asked.last, run=f"replay {number}")
                for store in (with_it, without)
            ]
            assert seen[0].kind == seen[1].kind, "whether and how a device answers depends on its store"
            assert len(seen[0].answer) == len(seen[1].answer), "the size of an answer depends on the store"
            ran, other = (set(one.branches) for one in seen)
            assert seen[0].branches == seen[1].branches, f"a device's code branches by its store: {sorted(ran ^ other)}"
            shares = [asked.last.sum.open(asked.last.sum.add(None, one.answer)) for one in seen]
            assert np.linalg.norm(shares[0] - shares[1]) <= apart * asked.last.sum.sensitivity * (1 + _SLACK)

    def test_what_leaves_on_the_wire_has_one_form_and_one_size(
        self, config: Config, study: Study, tmp_path: Path
    ) -> None:
        """The wire spy: of all messages of a run, a device without events sends as much as a full one."""
        with wire_of(config, study, tmp_path) as messages:
            pass
        mine = [(sent, reply) for sent, reply in messages if sent.metadata.group_id.split()[0] == self.query]
        assert {sent.metadata.dst_node_id for sent, _ in mine} >= {IDLE, BUSY, PLANTED}, "the spy did not see it"
        sizes: dict[str, set[tuple[int, int]]] = {}
        for sent, reply in mine:
            assert not reply.has_error(), reply.error
            fields, parts = from_records(reply.content)
            assert fields == {"format": 1, "protocol": "none"}
            assert list(parts) == ["share"]
            size = len(parts["share"].data)
            sizes.setdefault(sent.metadata.group_id, set()).add((size, len(fields)))
            for secret in (SECRET_NOTE.encode(), SECRET_ITEM.encode()):
                assert secret not in parts["share"].data
        assert all(len(found) == 1 for found in sizes.values()), sizes

    # Who checks it

    def test_the_request_of_these_settings_is_agreed(self, config: Config, study: Study, asked: Asked) -> None:
        for request in asked.requests:
            check_agreed(config, request, study.features)

    def test_a_request_that_differs_in_any_field_is_refused(self, config: Config, study: Study, asked: Asked) -> None:
        for changed, how in changed_requests(asked.last):
            with pytest.raises(ProtocolError):
                check_agreed(config, changed, study.features)
                pytest.fail(f"a request with {how} was agreed to")

    def test_it_is_not_answered_where_the_settings_leave_it_out(self, study: Study, asked: Asked) -> None:
        with pytest.raises(ProtocolError):
            check_agreed(federation.settings({}), asked.last, study.features)

    # What it costs, and what is made of it

    def test_plan_charge_and_ledger_are_one(self, config: Config, study: Study, asked: Asked, tmp_path: Path) -> None:
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
        # And the device, which reckons for itself, writes the same into its own ledger.
        save_features(study.features, study.encoders, tmp_path / "catalogue")
        store = make_store(tmp_path / "one.sqlite", [study.features.ids[1]], held=None)
        assert replayed(config, tmp_path / "catalogue", store, asked.last, run="charged").kind == "share"
        with EventStore.open(store) as opened:
            (row,) = DeviceLedger(opened).rows()
        assert (row.query, row.round) == (self.query, asked.last.round)
        assert row.cost is not None and row.cost.noise_multiplier == planned.noise_multiplier

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
