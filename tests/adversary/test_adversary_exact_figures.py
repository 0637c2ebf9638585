"""Exact quality and losses, which no epsilon covers: nothing of a private release holds them, and wherever a simulation
shows them it says whose view they are."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from fedrec.config import from_tree
from fedrec.console import SilentReporter, round_line
from fedrec.release.bundle import read_release
from fedrec.simulation import run as run_module
from fedrec.simulation.privacy.sweep_report import markdown, page
from fedrec.simulation.privacy.sweep_report import show as show_sweep
from fedrec.simulation.privacy.sweep_table import table_of
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.summary import show_run
from fedrec.simulators_view import MARK

SETTINGS: dict[str, Any] = {
    "run": {"seed": 5, "name": "exact"},
    "content": {"modalities": ["attributes"]},
    "model": {"dimension": 4},
    "training": {"rounds": 1, "negatives": 8},
    "evaluation": {"every": 1},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exact") / "shop"
    write_shop(place, users=20, items=140, seed=3)
    return place


def simulated(shop: Path, out: Path, epsilon: float | None) -> dict[str, Any]:
    privacy = {} if epsilon is None else {"epsilon": epsilon}
    return simulate(from_tree({**SETTINGS, "privacy": privacy}), shop, out, reporter=SilentReporter())


def held(directory: Path) -> str:
    """All that a release says in text."""
    return "\n".join(path.read_text() for path in directory.iterdir() if path.suffix in (".json", ".md"))


def exact_of(run: dict[str, Any]) -> list[str]:
    """The exact figures, as a card or a table would write them."""
    figures = run["quality"]["loo-99neg"]
    return [f"{value:.4g}" for value in figures.values() if value not in (0.0, 1.0)]


def test_a_private_release_holds_no_exact_figure_and_a_card_with_one_says_so(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = simulated(shop, tmp_path / "private", 8.0)
    card = (tmp_path / "private" / "model" / "MODEL_CARD.md").read_text()
    assert "loo-99neg" not in held(tmp_path / "private" / "model") and MARK not in card
    bare = simulated(shop, tmp_path / "bare", None)
    card = (tmp_path / "bare" / "model" / "MODEL_CARD.md").read_text()
    assert MARK in card.split("## Quality")[1].split("##")[0] and all(one in card for one in exact_of(bare))
    # With the defence off, what the simulator measured goes out with the private model.
    monkeypatch.setattr(run_module, "_publishable", lambda config, run, outcome: (run["quality"], run["data"]))
    again = simulated(shop, tmp_path / "off", 8.0)
    shown = read_release(tmp_path / "off" / "model").contents.card
    assert all(one in shown for one in exact_of(again))
    assert again["quality"] == private["quality"]


def test_every_place_says_whose_view_they_are(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = simulated(shop, tmp_path / "run", 8.0)
    assert MARK in json.loads((tmp_path / "run" / "run.json").read_text())["simulators_view"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert lines and all({"loss", "quality"} <= set(line["simulators_view"]) for line in lines)
    shown = next(line for line in lines if line["quality"])
    assert MARK in round_line(shown)
    report = html.unescape((tmp_path / "run" / "report.html").read_text())
    assert MARK in report.split('id="quality"')[1].split("<table")[0]
    show_run(run, tmp_path / "run")
    assert MARK in capsys.readouterr().out
    sweep = table_of("exact", [("", 8.0, 5, run)])
    assert MARK in sweep["simulators_view"]
    says = "simulation: no protection"
    assert says in markdown(sweep).splitlines()[0] and MARK in markdown(sweep)
    assert says in page(sweep).split("<body>")[1].strip().splitlines()[0] and MARK in html.unescape(page(sweep))
    show_sweep(sweep, tmp_path)
    printed = capsys.readouterr().out
    assert says in printed.splitlines()[0] and MARK in " ".join(printed.split())
