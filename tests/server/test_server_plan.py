"""A deployment on paper is the one that is: messages and bytes of sums are those that the grid counts."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.console import SilentReporter
from fedrec.message_records import from_records
from fedrec.queries.registry import QUERIES
from fedrec.queries.secure_wire import Exchange, thresholds_of
from fedrec.secagg.codec import bitmap_bytes, write_bitmap
from fedrec.secagg.errors import RefusedError
from fedrec.secagg.sizes import sum_traffic
from fedrec.secagg.thresholds import Thresholds
from fedrec.server.capacity import Constants, request_of, traffic_of
from fedrec.server.deployment_plan import capacity
from fedrec.simulation.bench import grid as bench
from fedrec.simulation.engines.grid_devices import SecureGridDevices, grid_devices

ITEMS = bench.ITEMS


class Count:
    """What goes by, by exchange: messages, and bytes of fields and arrays down and up."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.down: Counter[str] = Counter()
        self.up: Counter[str] = Counter()

    def __call__(self, message: Message, reply: Message) -> None:
        name = message.metadata.message_type.removeprefix("query.")
        self.messages[name] += 2
        fields, parts = from_records(message.content)
        self.down[name] += sum(len(part.data) for part in parts.values())
        if name == Exchange.ADVERTISE.value:
            self.down[name] += sum(len(text) for key, text in fields.items() if key != "attempt")
        self.up[name] += sum(len(part.data) for part in from_records(reply.content)[1].values())


@pytest.mark.slow
@pytest.mark.parametrize("devices", [50, 100])
def test_messages_and_bytes_are_those_that_the_grid_counts(devices: int) -> None:
    features, config = bench.features_of(1000), bench.config_of(1, 1)
    study, count = bench.study_of(devices, features), Count()
    values = np.zeros(0, dtype=np.float32)
    with (
        tempfile.TemporaryDirectory() as directory,
        grid_devices(config, study, Path(directory), SilentReporter(), spy=count) as opened,
    ):
        assert isinstance(opened, SecureGridDevices)
        from fedrec.model import parameters
        from fedrec.model.build import build_model

        values = parameters.flatten(build_model(config, features))
        opened.aggregate(bench.request_of(config, 1, values, devices, features), range(devices))
    query = QUERIES["training"]
    asked_for, asked = request_of(query, config, devices, devices, ITEMS, len(values))
    traffic, request_bytes = traffic_of(asked_for, asked, config, devices)
    assert asked == devices
    assert traffic.messages == count.messages.total()
    for exchange, planned in zip(Exchange, traffic.exchanges, strict=True):
        name = exchange.value
        assert planned.asked * 2 == count.messages[name], name
        assert planned.asked * planned.up == count.up[name], name
        down = planned.down + (request_bytes if exchange is Exchange.ADVERTISE else 0)
        assert planned.asked * down == count.down[name], name


def test_a_sum_of_many_costs_a_device_its_neighbours_and_the_lists() -> None:
    few, many = (sum_traffic(n, 1000, Thresholds()) for n in (10_000, 1_000_000))
    assert few.degree < many.degree < 2 * few.degree
    assert many.messages / few.messages == pytest.approx(100, rel=0.01)
    grown = [sum(one.down for one in traffic.exchanges) for traffic in (few, many)]
    # Six lists of who is there, a bit a device each.
    assert grown[1] - grown[0] == pytest.approx(6 * 990_000 / 8, rel=0.05)
    with pytest.raises(RefusedError):
        sum_traffic(2, 1000, thresholds_of(bench.config_of(1, 1).secure_aggregation, 2))


@pytest.mark.parametrize("size", [0, 1, 8, 9, 1001])
def test_the_size_of_a_list_is_what_is_written(size: int) -> None:
    assert bitmap_bytes(size) == len(write_bitmap(range(size), size))


def test_what_breaks_first_comes_first_and_holds_up_to_what_it_says() -> None:
    config = bench.config_of(1, 1)
    known = Constants(link_requests=10.0)
    found = capacity(config, 1000, 1000, ITEMS, 5000, known)
    limits = found["limits"]
    assert [one["devices"] for one in limits] == sorted(one["devices"] for one in limits)
    assert limits[0]["what"].startswith("requests a second") and limits[0]["broken"]
    assert 0.85 * 30 < limits[0]["devices"] <= 30  # ten requests a second, one every three seconds
    assert found["links"] == 34
    for one in limits[1:]:
        again = {
            limit["what"]: limit
            for limit in capacity(config, one["devices"], one["devices"], ITEMS, 5000, known)["limits"]
        }
        assert not again[one["what"]]["broken"], one["what"]
        above = round(1.2 * one["devices"])
        more = {limit["what"]: limit for limit in capacity(config, above, above, ITEMS, 5000, known)["limits"]}
        assert more[one["what"]]["broken"], one["what"]


def test_a_slower_link_makes_a_longer_sum() -> None:
    def run(rate: float) -> dict[str, float]:
        found: dict[str, float] = capacity(
            bench.config_of(1, 1), 1000, 1000, ITEMS, 5000, Constants(link_messages=rate, link_requests=300.0)
        )["run"]
        return found

    slow, fast = run(1.0), run(1e6)
    assert slow["seconds"] - fast["seconds"] == pytest.approx(slow["messages"] / 2, rel=0.01)  # two SuperLinks


def test_the_command_says_it_in_words_and_in_json() -> None:
    arguments = ["server", "plan", "--devices", "2000", "--items", "300", "--set", "privacy.epsilon=8"]
    done = CliRunner().invoke(build(), [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["protocol"] == "secagg+"
    assert found["privacy"]["epsilon_released"] == pytest.approx(8, rel=0.01)
    assert found["privacy"]["epsilon_server"] == pytest.approx(8, rel=0.01)
    assert {one["asked"] for one in found["sums"]} == {2000}
    assert found["run"]["messages"] == sum(one["sums"] * one["messages"] for one in found["sums"])
    told = CliRunner().invoke(build(), arguments)
    assert told.exit_code == 0 and "What breaks" in told.output


@pytest.mark.parametrize("text", ["cores=0", "cores=many", "colour=1", "cores"])
def test_a_constant_that_is_none_is_refused_in_words(text: str) -> None:
    done = CliRunner().invoke(build(), ["server", "plan", "--devices", "2000", "--constant", text])
    assert done.exit_code == 2
    assert "constant of the plan" in done.output
