"""Runs side by side: what differs, intervals, dashes for what a run lacks; a page that no title can change."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.console import DASH
from fedrec.simulation.report.compare import Comparison, compare, write_comparison

HOSTILE = "</td><script>alert(1)</script>"


def a_run(**changes: Any) -> dict[str, Any]:
    return {
        "config": {"run": {"seed": 0}, "privacy": {"epsilon": 8.0}, "model": {"dimension": 32}},
        "quality": {"loo-99neg": {"hr@10": 0.5, "hr@10-error": 0.01, "ndcg@10": 0.3}},
        "privacy": {"epsilon_released": 8.0, "epsilon_server": None, "delta": 0.00088, "unit": "user"},
        "secure_aggregation": {"bytes_up_per_device_total": 49_042},
        "cost": {"seconds": 12.3456},
        "data": {"name": "shop", "users": 1600},
        **changes,
    }


def cells(found: Comparison, section: str) -> dict[str, tuple[str, ...]]:
    return {row.name: row.cells for row in dict(found.sections)[section]}


def test_only_settings_that_differ_are_told() -> None:
    other = a_run(config={"run": {"seed": 1}, "privacy": {"epsilon": 8.0}, "model": {"dimension": 32, "history": 60}})
    found = cells(compare({"one": a_run(), "other": other}), "Settings that differ")
    assert found == {"run.seed": ("0", "1"), "model.history": (DASH, "60")}
    alike = compare({"one": a_run(), "other": a_run()})
    assert "Settings that differ" not in dict(alike.sections)


def test_quality_has_its_interval_and_what_is_missing_a_dash() -> None:
    found = compare({"one": a_run(), "none": a_run(quality=None, cost={}, secure_aggregation=None)})
    quality = cells(found, "Quality")
    assert quality["HR@10, against 99 others"] == ("0.500 (0.480 to 0.520)", DASH)
    assert quality["NDCG@10, against 99 others"] == ("0.300", DASH)
    assert cells(found, "Privacy")["epsilon, released model"] == ("8.00", "8.00")
    assert cells(found, "Privacy")["epsilon, server"] == (DASH, DASH)
    assert "noise multiplier" not in cells(found, "Privacy")
    assert cells(found, "Cost")["sent by a device, in all"] == ("49.0 kB", DASH)
    assert [bar.run for bar in dict(found.bars)["HR@10"]] == ["one"]


@pytest.mark.parametrize("record", [{}, dict.fromkeys(a_run()), {"quality": {"loo-99neg": {"hr@10": float("nan")}}}])
def test_a_record_without_figures_is_no_error(record: dict[str, Any], tmp_path: Path) -> None:
    path = write_comparison(tmp_path / "page.html", compare({"one": record, "two": record}))
    assert "nan" not in path.read_text().lower().split()


def test_what_simulations_protect_stands_first_and_once(tmp_path: Path) -> None:
    found = compare({"one": a_run(about="no protection"), "two": a_run(about="no protection"), "three": a_run()})
    text = write_comparison(tmp_path / "page.html", found).read_text()
    assert text.count("no protection") == 1
    assert text.index("no protection") < text.index("<h1>")


def test_no_text_of_a_run_becomes_code_and_nothing_is_fetched(tmp_path: Path) -> None:
    record = a_run(warnings=[HOSTILE], config={HOSTILE: HOSTILE}, data={"name": HOSTILE})
    text = write_comparison(tmp_path / "page.html", compare({HOSTILE: record, "b": a_run()})).read_text()
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!#|data:)', text)
    assert text.index("warning: &lt;/td&gt;") < text.index("<h1>")


def test_the_command_writes_a_page_and_tells_runs_of_one_name_apart(tmp_path: Path) -> None:
    for place, record in (("a/run", a_run()), ("b/run", a_run(cost={"seconds": 7.0}))):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "run.json").write_text(json.dumps(record))
    runs = [str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run")]
    said = CliRunner().invoke(build(), ["report", *runs, "--out", str(tmp_path / "page.html"), "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.output)
    assert found["runs"] == ["a/run", "b/run"]
    assert found["sections"]["Cost"]["seconds"] == {"a/run": "12.3", "b/run": "7.0"}
    assert "a/run" in (tmp_path / "page.html").read_text()
    assert CliRunner().invoke(build(), ["report", runs[0], runs[0]]).exit_code == 2
    shown = CliRunner().invoke(build(), ["report", *runs, "--out", str(tmp_path / "page.html")])
    assert "Settings that differ" not in shown.output
    assert "12.3" in shown.output
