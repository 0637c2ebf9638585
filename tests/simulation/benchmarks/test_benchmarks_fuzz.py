"""The fuzzer, for a second each: nothing but FedrecErrors; and it finds what is planted."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from fedrec.errors import ConfigError
from simulations.benchmarks import fuzz
from simulations.benchmarks.fuzz import Findings, by_mutation, mutated
from simulations.benchmarks.fuzz_targets import TARGETS, Target, made


@pytest.mark.parametrize("name", ["messages", "config", "data", "store"])
def test_a_second_of_each_target_finds_nothing(name: str, tmp_path: Path) -> None:
    found = by_mutation(TARGETS[name](tmp_path), 1.0, seed=1)
    assert found.facts()["findings"] == {}
    assert found.tried > 10
    assert 0 < found.refused < found.tried


@pytest.mark.slow
def test_releases_that_a_publisher_signed_whatever_they_hold(tmp_path: Path) -> None:
    target = TARGETS["release"](tmp_path)
    assert len(target.seeds) > 3
    found = by_mutation(target, 2.0, seed=1)
    assert found.facts()["findings"] == {}
    assert found.refused > 0


def test_what_is_no_fedrec_error_is_found_once_a_place_with_its_shortest_input() -> None:
    def parse(data: bytes) -> None:
        if not data.startswith(b"good"):
            raise ConfigError("refused")
        if b"\xff" in data:
            raise ZeroDivisionError("planted")

    found = by_mutation(made([(parse, b"good seed"), (parse, b"good other")]), 0.5, seed=0)
    [one] = found.by_place.values()
    assert one["times"] > 1
    assert "planted" in one["error"]
    assert one["input"][1:].startswith(b"good")
    assert found.refused > 0


def test_an_input_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SLOW_SECONDS", 1)
    found = Findings()
    assert not found.attempt(Target([lambda data: time.sleep(30)], []), b"\0x")
    assert [place for place in found.by_place if place.startswith("TooSlowError")]


def test_mutations_follow_from_the_seed_and_change_something() -> None:
    pool = [b"\0some text to change", b"\1another, longer text to take from"]
    first, again = ([mutated(pool, random.Random(3)) for _ in range(1)] for _ in range(2))
    assert first == again
    rng = random.Random(0)
    assert len({mutated(pool, rng) for _ in range(200)}) > 150
