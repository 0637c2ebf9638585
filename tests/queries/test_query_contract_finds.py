"""The contract of queries fails for queries that break it on purpose, each in the check that is meant for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from fedrec.config import Config, Settings
from fedrec.content.feature_table import Features
from fedrec.errors import FedrecError, ModelError
from fedrec.queries.device.encoder import Floats, QueryEncoder
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Participation, Query
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState
from fedrec.queries.schedule import make_request
from fedrec.simulation.study import Study
from fedrec.testing import federation
from fedrec.testing.asked import Asked, shared_study
from fedrec.testing.queries import QueryContract
from fedrec.users import UserBatch


class NoSettings(Settings):
    """Nothing to set."""


class Sound(Query):
    """How many users have each of eight kinds of items; what the broken ones below are made of."""

    name = "sound"
    encoder = f"{__name__}:SoundEncoder"
    default_share = 0.1
    settings_type = NoSettings

    def rounds(self, config: Config) -> range:
        return range(2) if self.settings(config) is not None else range(0)

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        return PrivateSum.of(self.name, 8, 1.0, rows)

    def decode(self, state: RunState, noisy: NoisySum) -> Any:
        return noisy.vector


class SoundEncoder(QueryEncoder):
    def encode(self, request: Request, population: UserBatch) -> Floats:
        histories = population.histories
        counts = np.zeros((len(population), 8))
        np.add.at(counts, (histories.owners, histories.items % 8), 1.0)
        held = (counts > 0).astype(np.float64)
        return held.sum(axis=0) / np.sqrt(8)


class Unbounded(Sound):
    """A user's part grows with the history."""

    name = "unbounded"
    encoder = f"{__name__}:UnboundedEncoder"


class UnboundedEncoder(QueryEncoder):
    def encode(self, request: Request, population: UserBatch) -> Floats:
        return np.bincount(population.histories.items % 8, minlength=8).astype(np.float64)


class Understated(Sound):
    """It says that an interaction moves the sum by less than it does, in the way that weights are easily got wrong."""

    name = "understated"

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        return PrivateSum.of(self.name, 8, 1.0, rows, moves=0.3)


class Telling(Sound):
    """The vector is longer for who has more: what leaves depends on the store."""

    name = "telling"
    encoder = f"{__name__}:TellingEncoder"


class TellingEncoder(SoundEncoder):
    def encode(self, request: Request, population: UserBatch) -> Floats:
        found = super().encode(request, population)
        return np.append(found, 0.0) if len(population.histories.items) > 3 else found


class Failing(Sound):
    """Devices that have one item cannot answer: whether one answers depends on the store."""

    name = "failing"
    encoder = f"{__name__}:FailingEncoder"


class FailingEncoder(SoundEncoder):
    def encode(self, request: Request, population: UserBatch) -> Floats:
        if 60 in population.histories.items:
            raise ModelError("a number overflows", value=60)
        return super().encode(request, population)


class Credulous(Sound):
    """A device accepts whatever the server says."""

    name = "credulous"

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        return Broadcast({"places": np.arange(8, dtype=np.float32)}, {"mode": "gentle"})

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        return Broadcast(request.arrays, {k: v for k, v in request.settings.items() if k not in ("users", "devices")})


class Cheap(Sound):
    """It is planned for one round and asked in two."""

    name = "cheap"

    def participation(self, config: Config, users: int, devices: int) -> Participation:
        return Participation(1)


class Forgetful(Sound):
    """What it makes of a sum hangs on what this process did before."""

    name = "forgetful"
    seen: ClassVar[list[int]] = []

    def decode(self, state: RunState, noisy: NoisySum) -> Any:
        self.seen.append(1)
        return len(self.seen)


BROKEN: Mapping[type[Query], tuple[str, ...]] = {
    Unbounded: (
        "test_any_history_gives_a_vector_of_the_agreed_length_within_the_bound",
        "test_each_row_is_within_the_bound",
    ),
    Understated: ("test_neighbours_move_the_sum_by_no_more_than_it_declares",),
    Telling: ("test_devices_of_neighbours_do_the_same_but_for_the_contribution",),
    Failing: ("test_devices_of_neighbours_do_the_same_but_for_the_contribution",),
    Credulous: ("test_a_request_that_differs_in_any_field_is_refused",),
    Cheap: ("test_plan_charge_and_ledger_are_one",),
    Forgetful: ("test_a_run_that_was_killed_goes_on_and_pays_once",),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return shared_study(tmp_path_factory)


@pytest.fixture
def registered(request: pytest.FixtureRequest) -> Iterator[type[Query]]:
    kind: type[Query] = request.param
    QUERIES.register(kind.name)(kind())
    yield kind
    QUERIES.unregister(kind.name)


def checks(kind: type[Query], study: Study, out: Path, names: tuple[str, ...] | None) -> list[str]:
    """The checks of the contract that a query does not pass, of those that need no message of a grid."""
    suite = type("Suite", (QueryContract,), {"query": kind.name, "settings": {"queries": {kind.name: {}}}})()
    failed, config = [], federation.settings(suite.settings, "example" if kind is Understated else "user")
    try:
        asked = Asked.of(kind.name, config, study, out / "asked")
    except FedrecError:  # it breaks a run before anything is asked of it twice; its request is what it would be
        asked = Asked((make_request(kind(), config, 0, Broadcast(), federation.USERS, study.features),), {}, {}, ())
    for name in sorted(name for name in dir(suite) if name.startswith("test_")):
        if names is not None and name not in names:
            continue
        check = getattr(suite, name)
        given = {"config": config, "study": study, "asked": asked, "tmp_path": out / name}
        wanted = check.__code__.co_varnames[1 : check.__code__.co_argcount]
        (out / name).mkdir()
        try:
            check(**{argument: given[argument] for argument in wanted})
        except (Exception, pytest.fail.Exception):
            failed.append(name)
    return failed


@pytest.mark.parametrize("registered", [Sound], indirect=True)
def test_a_sound_query_passes(registered: type[Query], study: Study, tmp_path: Path) -> None:
    assert checks(registered, study, tmp_path, None) == []


@pytest.mark.parametrize("registered", list(BROKEN), indirect=True)
def test_a_broken_query_is_found_by_the_check_that_is_meant_for_it(
    registered: type[Query], study: Study, tmp_path: Path
) -> None:
    wanted = BROKEN[registered]
    assert checks(registered, study, tmp_path, wanted) == sorted(wanted)
