"""Noise from the devices: through secure aggregation and in the cohort; enough survivors, or a named abort."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Context, Error, Message

from fedrec.client.app import app
from fedrec.client.budget import shared_cost
from fedrec.client.request_policy import check_agreed
from fedrec.config import Config, from_tree, with_protocol
from fedrec.console import open_reporter
from fedrec.errors import ConfigError, ProtocolError
from fedrec.privacy.statement import privacy_statement
from fedrec.queries.plan import costs_of
from fedrec.queries.request import Request
from fedrec.queries.secure_wire import Exchange
from fedrec.secagg.errors import RefusedError
from fedrec.secagg.thresholds import Thresholds
from fedrec.server.keys import RunKeys
from fedrec.server.noise import ServerNoise
from fedrec.server.results import AggregateResult, RoundEvent
from fedrec.server.secure_devices import SecureDevices
from fedrec.server.state import ServerState
from fedrec.simulation.engines import grid_devices as engine
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

CONFIG = cases.settings(
    secure_aggregation={"protocol": "secagg+", "minimum_survivors": 15, "rotate": True, "resolution_bits": None},
    privacy={"noise_place": "distributed", "epsilon": 20.0},
    training={"rounds": 1},
)
SPENDS = {cost.query: cost for cost in costs_of(CONFIG, cases.USERS)}
NOISE = ServerNoise(CONFIG, SPENDS, RunKeys(CONFIG, ServerState(None, "shares")))


@contextmanager
def devices(study: Study, out: Path, gone: set[int], exchange: Exchange = Exchange.MASK) -> Iterator[SecureDevices]:
    """Devices of which some fall silent from an exchange on."""

    def call(message: Message, context: Context) -> Message:
        if context.node_id in gone and message.metadata.message_type.removeprefix("query.") == exchange:
            return Message(Error(102, "gone"), reply_to=message)
        return app(message, context)

    with pytest.MonkeyPatch.context() as patched, open_reporter(silent=True) as reporter:
        patched.setattr(engine, "app", call)
        with engine.grid_devices(CONFIG, study, out, reporter) as opened:
            assert isinstance(opened, SecureDevices)
            yield opened


def request(study: Study, noise: float = SPENDS["popularity"].noise_multiplier) -> Request:
    return cases.popularity_question(CONFIG, study).with_noise_of_devices(CONFIG, noise, cases.USERS)


def exact(study: Study, places: range) -> np.ndarray:
    plain = CohortDevices(CONFIG, study.features, study.population)
    return plain.aggregate(cases.popularity_question(CONFIG, study), places).vector


def test_a_run_ends_with_a_finite_epsilon_towards_the_server(federation_study: Study, tmp_path: Path) -> None:
    steps: list[RoundEvent] = []
    with devices(federation_study, tmp_path / "devices", set()) as opened:
        outcome = cases.run(CONFIG, federation_study, opened, tmp_path / "run", steps.append)
    assert outcome.stopped is None
    for step in steps:
        asked = step.request
        assert (asked.sum.noise, asked.sum.devices) == (NOISE.costs[asked.query].noise_multiplier, cases.USERS)
        assert not NOISE.of(asked).any()
        whole = step.opened.vector / asked.sum.resolution
        assert np.array_equal(whole, np.rint(whole))
    # The popularity sum is off by what 24 shares of noise are.
    first = steps[0]
    off = (first.opened.vector - exact(federation_study, range(cases.USERS))) / first.request.sum.deviation(cases.USERS)
    assert 0.8 < float(np.sqrt(np.mean(off**2))) < 1.2
    stated = privacy_statement(
        outcome.costs, unit="user", delta=0.03, protocol="secagg+", noise_place=CONFIG.privacy.noise_place
    )
    assert stated["epsilon_server"] == pytest.approx(stated["epsilon_released"])
    assert "discrete" in stated["mechanism"]
    unmasked = privacy_statement(outcome.costs, unit="user", delta=0.03, noise_place="distributed")
    assert unmasked["epsilon_server"] is None


def test_a_cohort_draws_the_noise_of_all(federation_study: Study) -> None:
    plain = CohortDevices(CONFIG, federation_study.features, federation_study.population)
    asked = request(federation_study)
    opened = plain.aggregate(asked, range(cases.USERS))
    off = (opened.vector - exact(federation_study, range(cases.USERS))) / asked.sum.deviation(cases.USERS)
    assert 0.8 < float(np.sqrt(np.mean(off**2))) < 1.2


@pytest.mark.parametrize(("gone", "opens"), [({3, 9}, True), ({3, 9, 17}, False)])
def test_a_sum_over_fewer_than_its_noise_was_shared_for_is_not_opened(
    gone: set[int], opens: bool, federation_study: Study, tmp_path: Path
) -> None:
    """Of 24 devices a tenth may be gone: two. The floor of 15 survivors alone would let nine go."""
    asked = request(federation_study)
    assert asked.sum.survivors == 22
    with devices(federation_study, tmp_path, gone) as behind:
        if opens:
            assert behind.aggregate(asked, range(cases.USERS)).devices == 22
        else:
            with pytest.raises(ProtocolError, match="survivors-below-the-floor"):
                behind.aggregate(asked, range(cases.USERS))


def test_without_masks_too_few_survivors_end_the_run(federation_study: Study, tmp_path: Path) -> None:
    class Few(CohortDevices):
        def aggregate(self, request: Request, cohort: object) -> AggregateResult:
            return super().aggregate(request, range(21))

    few = Few(CONFIG, federation_study.features, federation_study.population)
    with pytest.raises(ProtocolError, match="too few for its noise"):
        cases.run(CONFIG, federation_study, few, tmp_path)


def test_a_device_holds_the_noise_to_its_own_settings(federation_study: Study) -> None:
    features, asked = federation_study.features, request(federation_study)
    check_agreed(CONFIG, asked, features)
    agreed = asked.sum
    for changed in (
        replace(agreed, noise=0.0, devices=0, dropout=0.0, colluding=0.0),
        replace(agreed, dropout=0.0),
        replace(agreed, colluding=0.0),
    ):
        with pytest.raises(ProtocolError):
            check_agreed(CONFIG, replace(asked, sum=changed), features)
    with pytest.raises(ProtocolError):
        check_agreed(cases.settings(privacy={"noise_place": "server"}), asked, features)


def test_less_noise_is_agreed_to_and_charged_as_it_is(federation_study: Study) -> None:
    less = request(federation_study, SPENDS["popularity"].noise_multiplier / 3)
    check_agreed(CONFIG, less, federation_study.features)
    assert shared_cost(less).noise_multiplier == pytest.approx(SPENDS["popularity"].noise_multiplier / 3)


def test_a_device_takes_part_in_no_larger_cohort_than_the_noise_is_shared_by() -> None:
    """In a larger one, the same share of it that colludes would be more devices."""
    thresholds = Thresholds(cohort=4, survivors=3).for_noise(9, 10)
    assert (thresholds.cohort, thresholds.survivors, thresholds.largest) == (9, 9, 10)
    thresholds.check_cohort(10, 10)
    for size in (8, 11):
        with pytest.raises(RefusedError):
            thresholds.check_cohort(size, size)
    assert Thresholds().for_noise(0, 0) == Thresholds()


def test_what_cannot_be_promised_is_refused() -> None:
    tree = {"privacy": {"noise_place": "distributed"}}
    with pytest.raises(ConfigError, match="poisson"):
        from_tree({**tree, "training": {"sampling": "poisson", "cohort": 30}})
    masked: Config = from_tree(tree)
    assert with_protocol(masked, "grid").secure_aggregation.protocol == "secagg+"
    with pytest.raises(ConfigError, match="each contribution"):
        with_protocol(from_tree({**tree, "secure_aggregation": {"protocol": "none"}}), "grid")
