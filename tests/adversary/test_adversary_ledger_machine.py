"""Any agreement, and any sequence of requests of a server that lies: what a device gives is within its ledger, and that
within what was agreed.

A state machine plays the server.  It asks with too little noise, other noise, of other cohorts, again, under other
names of the run; the device is restarted and killed in the middle of what it writes.  What its answers truly cost is
reckoned apart (`ledger_cases.true_noise`).  ``FEDREC_LEDGER_EXAMPLES=10000`` plays as many agreements as the claim is
about; the usual 200 take seconds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import ledger_cases as cases
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fedrec.client.budget import AnswerCost, local_noise
from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import BudgetExceededError, ConfigError, FedrecError
from fedrec.privacy.accountant import gaussian_noise
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.spent_total import SpentTotal
from fedrec.queries.request import Request
from fedrec.queries.schedule import schedule
from fedrec.secagg.roster import Roster

EXAMPLES = int(os.environ.get("FEDREC_LEDGER_EXAMPLES", "200"))
SLACK = 1 + 1e-6
ROSTERS = (20, 57, 400, 2000)


ASKED = st.tuples(  # place in the schedule, noise, cohort, population said
    st.integers(0, 99),
    st.floats(math.log(0.2), math.log(20.0)),
    st.integers(1, 2500),
    st.sampled_from([1, 2, 57, 10**6]),
)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class MemoryStore(EventStore):
    """The settings of a store, in memory: each transaction whole or not at all, as SQLite has it (tests/data)."""

    def __init__(self, kept: dict[str, str]) -> None:
        self.kept = kept
        self.writes_left = math.inf

    def get_setting(self, name: str) -> str | None:
        return self.kept.get(name)

    def set_setting(self, name: str, value: str) -> None:
        if self.writes_left <= 0:
            raise Killed
        self.writes_left -= 1
        self.kept[name] = value

    def users(self) -> list[str]:
        return []

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        before = dict(self.kept)
        try:
            yield
        except BaseException:
            self.kept.clear()
            self.kept.update(before)
            raise


class MemoryDevice(cases.ChargedDevice):
    """A device whose store is in memory; every call opens it anew."""

    def __init__(self, config: Config, roster: Roster, place: Path) -> None:
        self.config, self.roster, self.given = config, roster, []
        context = cases.context_of(config, place, len(roster.devices))
        self.device = cases.Device(context, place, place / f"roster-{len(roster.devices)}")
        self.kept: dict[str, str] = {}
        with self.store() as store:
            cases.trust_roster_key(store, cases.roster_of(1)[1].public)

    @contextmanager
    def store(self) -> Iterator[EventStore]:
        yield MemoryStore(self.kept)


@st.composite
def agreements(draw: st.DrawFn) -> tuple[Config, int]:
    """Settings that a publisher may agree on with devices, and how many those are."""
    count = draw(st.sampled_from(ROSTERS))
    local = draw(st.sampled_from([False, False, False, True]))
    sampling = draw(st.sampled_from(["full", "fixed", "cyclic"]))
    rounds = draw(st.integers(1, 5))
    budget = draw(st.floats(math.log(0.05), math.log(30.0))) if not local else math.log(4.0)
    tree: dict[str, dict[str, Any]] = {
        "privacy": {"epsilon": math.exp(budget), "delta": draw(st.sampled_from([None, 1e-3, 1e-7]))},
        "training": {
            "rounds": rounds,
            "sampling": sampling,
            "cohort": 0 if sampling == "full" else max(20, count // 3),
        },
        "collaborative": {"cooccurrence": {"enabled": draw(st.booleans()), "items": 8, "normalise": 1.0}},
        "evaluation": {"private_metrics": draw(st.booleans())},
        "secure_aggregation": {
            "dropout": draw(st.sampled_from([0.0, 0.1, 0.3])),
            "corrupt": draw(st.sampled_from([0.0, 0.1, 0.25])),
        },
    }
    if local:
        tree["privacy"] = {"epsilon": 4.0, "delta": 1e-5, "noise_place": "local", "unit": "example"}
        tree["privacy"]["local"] = {"steps": draw(st.sampled_from([1, 2]))}
        tree["collaborative"] = {"popularity": False, "cooccurrence": {"enabled": False}}
        tree["evaluation"] = {"private_metrics": False}
        tree["model"] = {"notes": False, "photos": False, "dimension": 8}
    if not local and draw(st.booleans()):
        names = ["popularity", "training", "cooccurrence", "metrics"]
        tree["privacy"]["shares"] = {name: draw(st.sampled_from([0.01, 0.3, 1.0])) for name in names}
    return cases.settings(**tree), count


class LyingServer(RuleBasedStateMachine):
    """Asks one device whatever it likes. ``directory``: holds the signed rosters."""

    directory: ClassVar[Path]

    @initialize(agreed=agreements())
    def agree(self, agreed: tuple[Config, int]) -> None:
        config, count = agreed
        self.config, self.count = config, count
        self.device = MemoryDevice(config, cases.roster_of(count)[0], self.directory)
        self.local = config.privacy.noise_place == "local"
        assert config.privacy.epsilon is not None
        self.budget = config.privacy.epsilon
        self.whole = gaussian_noise(self.budget, self.device.delta)
        self.asked: list[Request] = []

    @rule(acts=st.lists(ASKED, min_size=1, max_size=8), run=st.sampled_from(["run", "another", "made up"]))
    def ask(self, acts: list[tuple[int, float, int, int]], run: str) -> None:
        """Requests of the schedule in any order, with noise from a fifth to twenty times that of the whole budget."""
        scheduled = schedule(self.config)
        for place, factor, cohort, users in acts:
            one = scheduled[place % len(scheduled)]
            plain = cases.request(self.config, one.query.name, one.round, 2500)
            plain = replace(plain, settings={**plain.settings, "users": users, "devices": users})
            try:
                noise = min(max(self.whole * math.exp(factor), 0.0101), 1e8)
                asked = plain if self.local else plain.with_noise_of_devices(self.config, noise, cohort)
            except FedrecError:
                continue  # no such request can be read by a device either
            self.put(asked, run)

    @precondition(lambda self: self.asked)
    @rule(place=st.integers(0, 99), run=st.text("ab", min_size=1, max_size=3))
    def ask_again(self, place: int, run: str) -> None:
        """What was answered before, under any name of the run."""
        self.put(self.asked[place % len(self.asked)], run)

    @precondition(lambda self: self.asked and not self.local)
    @rule(
        place=st.integers(0, 99),
        change=st.sampled_from(
            [{"noise": 0.0, "devices": 0}, {"dropout": 0.0}, {"colluding": 0.0}, {"dropout": 0.6}, {"bound": 2.0}]
        ),
    )
    def ask_otherwise(self, place: int, change: dict[str, Any]) -> None:
        """With the noise shared out otherwise, or none."""
        asked = self.asked[place % len(self.asked)]
        try:
            self.put(replace(asked, sum=replace(asked.sum, **change)), "run")
        except FedrecError as error:
            assert error.code == "sum"  # the server itself cannot write such a request

    @precondition(lambda self: self.asked)
    @rule(place=st.integers(0, 99), writes=st.integers(0, 3))
    def kill(self, place: int, writes: int) -> None:
        """The device is cut off while it writes: it has not answered, and its ledger is whole."""
        request = self.asked[place % len(self.asked)]
        store = MemoryStore(self.device.kept)
        before = len(DeviceLedger(store).rows())
        cost = self.device.device.cost(store, request)
        store.writes_left = writes
        try:
            with store.transaction(durable=True):
                cost.charge(store, "killed")
        except (Killed, BudgetExceededError):
            assert len(DeviceLedger(MemoryStore(self.device.kept)).rows()) == before

    def put(self, request: Request, run: str) -> None:
        """To the device; what it gives is noted."""
        if not self.device.asked(request, run):
            return
        self.asked.append(request)
        if self.local:
            with self.device.store() as store:
                noise = local_noise(store, self.config, self.device.device.device_context.agreement)
            assert noise is not None
            self.device.given[-1:] = [noise.noise_multiplier] * self.config.privacy.local.steps

    @invariant()
    def given_within_ledger_within_agreement(self) -> None:
        if not hasattr(self, "device"):
            return
        ledger = self.device.in_its_ledger()
        assert self.device.truly_spent() <= ledger * SLACK + 1e-9
        assert ledger <= self.budget * SLACK


@pytest.fixture(scope="module", autouse=True)
def rosters(tmp_path_factory: pytest.TempPathFactory) -> None:
    LyingServer.directory = tmp_path_factory.mktemp("rosters")
    for count in ROSTERS:
        made, key = cases.roster_of(count)
        (LyingServer.directory / f"roster-{count}").write_bytes(made.sign(key))


def play(examples: int, *, shrinks: bool = True) -> None:
    """So many agreements, each with up to 12 acts of the server."""
    phases = [Phase.generate, Phase.shrink] if shrinks else [Phase.generate]
    run_state_machine_as_test(
        LyingServer,
        settings=settings(
            max_examples=examples, stateful_step_count=12, deadline=None, print_blob=False, database=None, phases=phases
        ),
    )


@pytest.mark.slow
def test_no_server_gets_more_than_was_agreed() -> None:
    play(EXAMPLES)


def test_a_server_finds_a_device_that_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpentTotal, "exceeds", lambda self, epsilon, delta: False)
    with pytest.raises(AssertionError):
        play(200, shrinks=False)


def test_a_server_finds_a_device_to_which_repeats_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    right = AnswerCost.charge

    def once(self: AnswerCost, store: EventStore, run: str) -> None:
        if not any((row.query, row.round) == (self.query, self.round) for row in DeviceLedger(store).rows()):
            right(self, store, run)

    monkeypatch.setattr(AnswerCost, "charge", once)
    with pytest.raises(AssertionError):
        play(200, shrinks=False)


def test_a_server_finds_a_device_that_believes_how_the_noise_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request's own dropout and colluding shares instead of the settings'."""
    monkeypatch.setattr(
        Request,
        "with_noise_of_devices",
        lambda self, config, noise, devices: replace(self, sum=replace(self.sum, noise=noise, devices=devices)),
    )
    with pytest.raises(AssertionError):
        play(200, shrinks=False)


def test_settings_that_nobody_can_charge_are_refused() -> None:
    with pytest.raises(ConfigError, match="fixed or cyclic"):
        cases.settings(training={"sampling": "poisson", "cohort": 30})
