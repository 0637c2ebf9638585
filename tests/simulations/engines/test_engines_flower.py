"""Flower's own runtime: what is started is stopped, however the context ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedrec.errors import ConfigError
from simulations.engines import flower


@pytest.mark.flower
def test_a_superlink_ends_with_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError), flower.superlink(tmp_path) as environment:
        assert environment["FLWR_HOME"] == str(tmp_path)
        assert len(flower.processes_of(tmp_path)) >= 1
        # Somebody whom the SuperLink does not know of, as Ray's helpers are when their parent is killed.
        orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)
        assert orphan.pid in flower.processes_of(tmp_path)
        monkeypatch.setattr(flower, "_STOP_SECONDS", 1.0)
        raise KeyError
    assert orphan.wait(5) != 0
    assert flower.processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "written"),
    [("plain", "'plain'"), ('{"a": 1}', "'{\"a\": 1}'"), ("it's", '"it\'s"'), (3, "3"), (0.5, "0.5")],
)
def test_a_value_for_the_run_config_is_quoted(value: str | float, written: str) -> None:
    assert flower.toml_value(value) == written


@pytest.mark.parametrize("value", ['it\'s "both"', "two\nlines", "it's a \\"])
def test_a_value_that_cannot_be_quoted_is_refused(value: str) -> None:
    with pytest.raises(ConfigError):
        flower.toml_value(value)
