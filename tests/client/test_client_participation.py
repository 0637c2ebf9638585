"""A device takes part as its owner said: so often, and while its machine is idle or charging; else it is not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from manifest_cases import Deployment, deployed_settings

from fedrec.client import start
from fedrec.client.flower_runtime import NodeConfig
from fedrec.client.machine_state import MachineState
from fedrec.client.participation_rules import LONGEST_SUM, ParticipationRules, Rate, Turn
from fedrec.client.supernode import Connection
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError
from fedrec.privacy import device_entry
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.simulation.study import Study

NOW = 1_800_000_000


def supply(power: Path, name: str, **said: str) -> None:
    (power / name).mkdir(parents=True)
    for file, text in said.items():
        (power / name / file).write_text(text + "\n")


def answered(path: Path, monkeypatch: pytest.MonkeyPatch, *times: int) -> Path:
    with EventStore.create(path) as store:
        for number, at in enumerate(times):
            monkeypatch.setattr(device_entry.time, "time", lambda at=at: at)
            with store.transaction(durable=True):
                DeviceLedger(store).charge_shared(
                    Agreement("agreed", 8.0, 1e-5), QueryCost("training", 9.0), run="r", query="training", round=number
                )
    return path


@pytest.mark.parametrize(("text", "seconds"), [("3/day", 86_400), (" 12 / Week", 604_800), ("1/hour", 3600)])
def test_rates_are_read(text: str, seconds: int) -> None:
    rate = Rate.of(text)
    assert rate.seconds == seconds and Rate.of(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "3", "0/day", "-1/day", "3/fortnight", "1.5/day", "day/3", "9999999/day"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no rate"):
        Rate.of(text)


@pytest.mark.parametrize(
    ("supplies", "charging"),
    [
        ({}, True),
        ({"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Discharging"}}, True),
        ({"AC": {"type": "Mains", "online": "0"}, "BAT0": {"type": "Battery", "status": "Discharging"}}, False),
        ({"BAT0": {"type": "Battery", "status": "Full"}}, True),
        ({"BAT0": {"type": "Battery", "status": "Unknown"}}, False),
        ({"mouse": {"type": "Battery", "status": "Discharging", "scope": "Device"}}, True),
    ],
)
def test_what_power_is_drawn(tmp_path: Path, supplies: dict[str, dict[str, str]], charging: bool) -> None:
    (tmp_path / "power").mkdir()
    for name, said in supplies.items():
        supply(tmp_path / "power", name, **said)
    assert MachineState(tmp_path / "power").charging() is charging


def test_a_system_that_does_not_say_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not say"):
        Turn(ParticipationRules(only_charging=True), tmp_path, MachineState(tmp_path / "none"))


def test_a_machine_is_idle_by_what_others_use(tmp_path: Path) -> None:
    tick, cores, clock, own = os.sysconf("SC_CLK_TCK"), os.cpu_count() or 1, [0.0], [0.0]
    stat = tmp_path / "stat"

    def look(at: float, busy: float, mine: float) -> bool:
        stat.write_text(f"cpu  {int(busy * tick)} 0 0 {int(9e5 * tick)} 7 0 0 0 0 0\ncpu0 1 2\n")
        clock[0], own[0] = at, mine
        return machine.idle()

    machine = MachineState(tmp_path, stat, passed=lambda: clock[0], own=lambda: own[0])
    assert not look(0, 0, 0), "nothing to compare with yet"
    assert look(10, 0.2 * cores * 10, 0)
    assert look(12, 900 * cores, 0), "too soon to look again"
    assert not look(20, 0.2 * cores * 10 + 5 * cores, 0)
    assert look(30, 0.2 * cores * 10 + 15 * cores, 10 * cores), "its own work does not count"


def test_so_many_sums_in_any_such_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = answered(tmp_path / "store.sqlite", monkeypatch, NOW - 90_000, NOW - 80_000, NOW - 10)

    def turn(rate: str, at: int = NOW) -> Turn:
        return Turn(ParticipationRules(at_most=Rate.of(rate)), store, clock=lambda: at)

    assert turn("3/day").why_not() is None
    assert "2/day" in (turn("2/day").why_not() or "")
    assert turn("2/day", at=NOW + 6_401).why_not() is None
    assert turn("3/week").why_not() is not None
    assert turn("1/hour").why_not() is not None and turn("2/hour").why_not() is None
    assert turn("2/day", at=NOW - 1000).why_not() is not None, "a clock that was set back gives no more"


def test_a_sum_that_was_begun_is_finished_but_not_waited_for_without_end(tmp_path: Path) -> None:
    power, passed = tmp_path / "power", [0.0]
    supply(power, "BAT0", type="Battery", status="Discharging")
    with EventStore.create(tmp_path / "store.sqlite") as store:
        store.set_setting("secagg asked", '{"run": "r"}')
        turn = Turn(ParticipationRules(only_charging=True), store.path, MachineState(power), passed=lambda: passed[0])
        assert turn.why_not() is not None and turn.over() is None
        passed[0] = LONGEST_SUM - 1
        assert turn.over() is None
        passed[0] = LONGEST_SUM + 1
        assert "battery" in (turn.over() or "")
        store.set_setting("secagg asked", "null")
        passed[0] = 0.0
        assert "battery" in (turn.over() or "")
        (power / "BAT0" / "status").write_text("Charging")
        assert turn.over() is None


@pytest.fixture(scope="module")
def deployment(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return Deployment.make(federation_study, tmp_path_factory.mktemp("deployment"), deployed_settings())


def test_a_device_that_may_not_take_part_is_not_connected(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On its battery it waits; then it connects, leaves when the cable is pulled, and connects again."""
    power = tmp_path / "power"
    supply(power, "BAT0", type="Battery", status="Discharging")
    status = power / "BAT0" / "status"
    seen: list[str] = []
    ended = threading.Event()

    @contextmanager
    def signals() -> Iterator[threading.Event]:
        yield ended

    @contextmanager
    def connected(*_: object) -> Iterator[object]:
        seen.append("on")
        try:
            yield type("Node", (), {"address": "", "secret": b"", "check": staticmethod(lambda: None)})
        finally:
            seen.append("off")

    class Nothing:
        def __init__(self, *_: object) -> None:
            self.asked = 0

        def acquire(self) -> None:
            self.asked += 1
            if self.asked == 2:
                status.write_text("Discharging")
            if seen.count("on") == 2:
                ended.set()

        def close(self) -> None:
            pass

    def waits(reason: str) -> None:
        seen.append(reason)
        status.write_text("Charging")

    monkeypatch.setattr(start, "told_to_end", signals)
    monkeypatch.setattr(start, "supernode", connected)
    monkeypatch.setattr(start, "SuperNodeTasks", Nothing)
    monkeypatch.setattr(start, "refuse_unless_isolated", lambda: None)
    monkeypatch.setattr(start, "allow_installed_code", lambda: None)
    monkeypatch.setattr(start, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(start, "MachineState", lambda: MachineState(power))
    for name in ("ca.pem", "node"):
        (tmp_path / name).touch(mode=0o600)
    connection = Connection("127.0.0.1:1", tmp_path / "ca.pem", tmp_path / "node")
    own: NodeConfig = deployment.node_config()
    start.start_device(own, connection, 1, rules=ParticipationRules(only_charging=True), waits=waits)
    battery = "the machine runs on its battery"
    assert seen == [battery, "on", "off", battery, "on", "off"]


def test_an_error_while_it_waits_ends_the_device(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def lost(*_: object) -> Iterator[None]:
        raise ProtocolError("the SuperNode does not come up")
        yield

    monkeypatch.setattr(start, "supernode", lost)
    monkeypatch.setattr(start, "refuse_unless_isolated", lambda: None)
    monkeypatch.setattr(start, "allow_installed_code", lambda: None)
    for name in ("ca.pem", "node"):
        (tmp_path / name).touch(mode=0o600)
    connection = Connection("127.0.0.1:1", tmp_path / "ca.pem", tmp_path / "node")
    with pytest.raises(ProtocolError, match="come up"):
        start.start_device(deployment.node_config(), replace(connection), 1)
