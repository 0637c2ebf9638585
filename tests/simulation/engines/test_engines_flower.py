"""Flower's own runtime: what is started is stopped, however the context ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedrec.errors import ConfigError, ProtocolError
from fedrec.simulation.engines import flower


@pytest.mark.flower
def test_a_superlink_ends_with_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError), flower.superlink(tmp_path) as environment:
        assert environment["FLWR_HOME"] == str(tmp_path)
        assert len(flower.processes_of(tmp_path)) >= 1
        # Somebody whom the SuperLink does not know of, as Ray's helpers are when their parent is killed.
        waits = "import time; print('here', flush=True); time.sleep(60)"
        orphan = subprocess.Popen([sys.executable, "-c", waits], env=environment, stdout=subprocess.PIPE)
        # Until it has said so it may not yet be what it was started as.
        assert orphan.stdout is not None
        assert orphan.stdout.readline() == b"here\n"
        assert orphan.pid in flower.processes_of(tmp_path)
        monkeypatch.setattr(flower, "_STOP_SECONDS", 1.0)
        raise KeyError
    assert orphan.wait() != 0
    orphan.stdout.close()
    assert flower.processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("does", "seconds", "ended", "said"),
    [
        ("echo 1", 600.0, True, "1\n"),
        ("echo 1; exit 3", 600.0, True, "1\n"),
        ("echo 1; sleep 600", 600.0, False, "1\n"),
        ("while true; do echo 1; sleep 0.5; done", 4.0, False, None),
        ("for turn in 1 2 3 4 5 6 7 8; do echo 1; sleep 0.5; done", 600.0, True, 8 * "1\n"),
    ],
)
@pytest.mark.slow
def test_a_command_that_hangs_is_stopped_and_what_it_printed_is_kept(
    does: str, seconds: float, ended: bool, said: str | None, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    log.write_text("before\n")
    command = ["sh", "-c", does]  # quick to start: what is silent for too long is silent on purpose
    assert flower.watched(command, os.environ, log, seconds=seconds, silence=3.0) == ended
    text = log.read_text()
    assert text == f"before\n{said}" if said else text.count("1") >= 1


def test_a_runtime_that_hangs_is_started_again_and_at_last_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, commands = [], []

    @contextmanager
    def superlink(home: Path) -> Iterator[dict[str, str]]:
        opened.append(home)
        yield {**os.environ}

    def watched(command: Sequence[str], environment: object, log: Path, *, seconds: float, silence: float) -> bool:
        commands.append(command)
        with log.open("a") as out:
            out.write(f"attempt {len(commands)}\n")
        time.sleep(0.2)
        return len(commands) == 3

    monkeypatch.setattr(flower, "superlink", superlink)
    monkeypatch.setattr(flower, "watched", watched)
    log = flower.run_flower(tmp_path, tmp_path, {"config": "x"}, devices=2, seconds=60)
    assert log == "attempt 1\nattempt 2\nattempt 3\n"
    assert opened == [tmp_path] * 3
    assert commands[0] == commands[1] == commands[2]
    with pytest.raises(ProtocolError, match=r"(?s)did not end in time \(got '0.1 s'\).*attempt 3\nattempt 4"):
        flower.run_flower(tmp_path, tmp_path, {"config": "x"}, devices=2, seconds=0.1)


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
