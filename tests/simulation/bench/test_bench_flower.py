"""The benchmark of Flower's runtime: what it cannot run it refuses, and a run that failed says what was printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.errors import ConfigError, ProtocolError
from fedrec.simulation.bench import flower


def test_it_needs_a_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="project"):
        flower.run_slices(4, [2], 600, app=tmp_path)


@pytest.mark.parametrize("slices", ["0", "5", "2,x", ""])
def test_more_nodes_than_users_are_refused(slices: str) -> None:
    done = CliRunner().invoke(build(), ["bench", "flower", "--users", "4", "--slices", slices])
    assert done.exit_code != 0
    assert "slices" in done.output


def test_a_run_is_measured_by_its_training_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    asked: list[Mapping[str, str | int | float]] = []

    def run(app: Path, home: Path, said: Mapping[str, str | int | float], *, devices: int, **_: float) -> str:
        asked.append({**said, "nodes": devices})
        out = Path(str(said["out"]))
        out.mkdir()
        lines = [("popularity", 9.0), ("training", 8.0), ("training", 2.0), ("training", 4.0)]
        text = "\n".join(json.dumps({"query": query, "seconds": seconds}) for query, seconds in lines)
        (out / "events.jsonl").write_text(text)
        (out / "server.json").touch()
        return ""

    monkeypatch.setattr(flower, "run_flower", run)
    found = flower.run_slices(6, [2, 6], 600, rounds=2, app=tmp_path)
    assert {count: one["users_per_second"] for count, one in found["nodes"].items()} == {"2": 2.0, "6": 2.0}
    assert [(said["nodes"], said["devices"], said["slices"], said["users"]) for said in asked] == [
        (2, 2, 2, 6),
        (6, 6, 0, 6),
    ]
    assert found["one_pass"]["users_per_second"] > 0


def test_a_run_that_failed_says_what_was_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(flower, "run_flower", lambda *_, **__: "one\nthe reason")
    with pytest.raises(ProtocolError, match=r"(?s)no end of its own.*the reason"):
        flower.run_slices(4, [2], 600, app=tmp_path)
