"""Secure aggregation in the grid: the same release as without masks, dropouts at every exchange, named aborts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Context, Error, Message

from fedrec.client.app import app
from fedrec.console import open_reporter
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError
from fedrec.model import parameters
from fedrec.queries.secure_wire import Exchange
from fedrec.server.results import RoundEvent
from fedrec.server.secure_devices import SecureDevices
from fedrec.simulation.engines import grid_devices as engine
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

FLOORS = {"minimum_cohort": 20, "minimum_survivors": 15}
SECURE = {"protocol": "secagg+", **FLOORS}
CONFIG = cases.settings(secure_aggregation=SECURE)
ROUNDING = (cases.USERS + 1) * 2.0**-20
Call = Callable[[Message, Context], Message]


@contextmanager
def devices(study: Study, out: Path, call: Call = app, **secure: object) -> Iterator[SecureDevices]:
    config = cases.settings(secure_aggregation={**SECURE, **secure})
    with pytest.MonkeyPatch.context() as patched, open_reporter(silent=True) as reporter:
        patched.setattr(engine, "app", call)
        with engine.grid_devices(config, study, out, reporter) as opened:
            assert isinstance(opened, SecureDevices)
            yield opened


def request(study: Study):  # type: ignore[no-untyped-def]
    return cases.popularity_question(CONFIG, study)


def sum_without(study: Study, gone: set[int]) -> np.ndarray:
    plain = CohortDevices(CONFIG, study.features, study.population)
    return plain.aggregate(request(study), [place for place in range(cases.USERS) if place not in gone]).vector


def silent_at(exchange: Exchange, nodes: set[int]) -> Call:
    """An app that some nodes do not get to answer with, from one exchange on."""
    later = list(Exchange)[list(Exchange).index(exchange) :]

    def call(message: Message, context: Context) -> Message:
        if context.node_id in nodes and message.metadata.message_type.removeprefix("query.") in later:
            return Message(Error(102, "gone"), reply_to=message)
        return app(message, context)

    return call


def test_auto_means_masks_wherever_messages_are_sent(federation_study: Study, tmp_path: Path) -> None:
    with devices(federation_study, tmp_path, protocol="auto") as opened:
        assert opened.settings.protocol == "secagg+"


@pytest.mark.parametrize("exchange", list(Exchange))
def test_devices_may_drop_out_at_every_exchange(exchange: Exchange, federation_study: Study, tmp_path: Path) -> None:
    gone = {2, 11}
    with devices(federation_study, tmp_path, silent_at(exchange, gone)) as opened:
        found = opened.aggregate(request(federation_study), range(cases.USERS))
    # A device that has sent its vector is in the sum, whether it stays or not.
    left_out = set() if exchange in (Exchange.CONFIRM, Exchange.UNMASK) else gone
    np.testing.assert_allclose(found.vector, sum_without(federation_study, left_out), rtol=0, atol=ROUNDING)
    assert found.devices == cases.USERS - len(left_out)
    assert opened.tally == Counter({"sum": found.devices, **({"failed": 2} if left_out else {})})
    assert not opened.aborted


def test_a_run_with_masks_releases_what_the_cohort_releases(federation_study: Study, tmp_path: Path) -> None:
    steps: dict[str, list[RoundEvent]] = {"cohort": [], "grid": []}
    plain = CohortDevices(CONFIG, federation_study.features, federation_study.population)
    first = cases.run(CONFIG, federation_study, plain, tmp_path / "cohort", steps["cohort"].append)
    with devices(federation_study, tmp_path / "devices") as opened:
        second = cases.run(CONFIG, federation_study, opened, tmp_path / "grid", steps["grid"].append)
    assert [step.opened.devices for step in steps["grid"]] == [cases.USERS] * 6
    for ours, theirs in zip(steps["grid"], steps["cohort"], strict=True):
        if ours.request.round <= 1:  # later, the parameters that are asked with differ by what was rounded before
            atol = ROUNDING * ours.request.sum.bound + 1e-6
            np.testing.assert_allclose(ours.opened.vector, theirs.opened.vector, rtol=0, atol=atol)
    assert first.model is not None
    assert second.model is not None
    np.testing.assert_allclose(parameters.flatten(second.model), parameters.flatten(first.model), rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        second.collaborative.popularity, first.collaborative.popularity, rtol=1e-6, atol=ROUNDING
    )
    assert second.costs == first.costs


def test_a_round_that_is_given_up_is_asked_again_and_then_opens(federation_study: Study, tmp_path: Path) -> None:
    """On the first attempt so many devices are gone when vectors are sent that nobody would open a sum."""
    asked: Counter[int] = Counter()

    def call(message: Message, context: Context) -> Message:
        kind = message.metadata.message_type.removeprefix("query.")
        asked[context.node_id] += kind == Exchange.ADVERTISE
        if kind == Exchange.MASK and asked[context.node_id] == 1 and context.node_id < 12:
            return Message(Error(102, "gone"), reply_to=message)
        return app(message, context)

    with devices(federation_study, tmp_path, call) as opened:
        found = opened.aggregate(request(federation_study), range(cases.USERS))
        assert opened.aborted == {"survivors-below-the-floor": 1}
        assert opened.tally == {"sum": cases.USERS}
    np.testing.assert_allclose(found.vector, sum_without(federation_study, set()), rtol=0, atol=ROUNDING)


def test_a_round_that_never_opens_ends_the_run_with_its_reasons(federation_study: Study, tmp_path: Path) -> None:
    many = set(range(12))
    with devices(federation_study, tmp_path, silent_at(Exchange.ADVERTISE, many), attempts=2) as opened:
        with pytest.raises(ProtocolError, match="cohort-below-the-floor"):
            opened.aggregate(request(federation_study), range(cases.USERS))
        assert opened.aborted == {"cohort-below-the-floor": 2}


def test_a_sum_is_opened_once_and_the_next_one_is_another(federation_study: Study, tmp_path: Path) -> None:
    with devices(federation_study, tmp_path, attempts=1) as opened:
        opened.aggregate(request(federation_study), range(cases.USERS))
        with pytest.raises(ProtocolError):
            opened.aggregate(request(federation_study), range(cases.USERS))
        assert opened.tally == {"refused": cases.USERS}


def test_after_a_sum_a_store_holds_no_secret_of_it(federation_study: Study, tmp_path: Path) -> None:
    with devices(federation_study, tmp_path) as opened:
        opened.aggregate(request(federation_study), range(cases.USERS))
    with EventStore.open(tmp_path / "stores" / "00003.sqlite") as store:
        assert store.get_setting("secagg pending") == store.get_setting("secagg asked") == "null"


def test_a_sampled_cohort_below_the_floor_is_not_asked(federation_study: Study, tmp_path: Path) -> None:
    with devices(federation_study, tmp_path) as opened:
        found = opened.aggregate(request(federation_study), range(7))
    assert (found.devices, found.bytes_up) == (0, 0)
    assert not found.vector.any()


def test_too_few_devices_are_refused_at_once(federation_study: Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 30"), devices(federation_study, tmp_path, minimum_cohort=30):
        pass


def test_a_device_does_not_answer_without_masks(federation_study: Study, tmp_path: Path) -> None:
    with devices(federation_study, tmp_path):
        pass
    store = tmp_path / "stores" / "00001.sqlite"
    asked = cases.envelope(request(federation_study), federation_study)
    with pytest.raises(ProtocolError, match="masked"):
        cases.device(CONFIG, tmp_path / "catalogue", store).answer(asked, "run")
