"""``fedrec privacy attack``: the table, its files, going on after a cut, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedrec.cli import privacy as cli
from fedrec.cli.main import build
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.errors import ConfigError
from fedrec.simulation.attacks import registry
from fedrec.simulation.attacks.result import DEFENCES, AttackResult, Defence
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study

FEW = ["--set", "training.rounds=1", "--set", "model.dimension=4", "--set", 'content.modalities=["text"]']


class Counting:
    """An attack that counts how often it is run, and cannot be run against one defence."""

    name, paper = "counting <b>", "Nobody 2020"

    def __init__(self) -> None:
        self.runs: list[str] = []

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        self.runs.append(defence)
        if defence == "secagg" and len(self.runs) < 5:
            raise ConfigError("not on this data")
        return AttackResult(self.name, defence, "AUC", 0.75, 0.5, 1.0, 0.5, 10, 0.1, "saw a | and </script>")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("attacked") / "shop"
    write_shop(directory, users=30, items=140, seed=4)
    return directory


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counting:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    attack = Counting()
    monkeypatch.setattr(registry, "all_attacks", lambda: {attack.name: attack})
    return attack


def invoke(*args: object) -> Any:
    import typer

    app = typer.Typer()
    cli.register(app)
    return CliRunner().invoke(app, ["privacy", "attack", *map(str, args), *FEW])


def test_all_prints_one_json_document_and_writes_three_files(shop: Path, tmp_path: Path, counting: Counting) -> None:
    result = invoke("--all", "--data", shop, "--out", tmp_path / "o", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [(cell["attack"], cell["defence"]) for cell in said["results"]] == [
        (counting.name, one) for one in DEFENCES if one != "secagg"
    ]
    assert [(cell["defence"], "not on this data" in cell["reason"]) for cell in said["failed"]] == [("secagg", True)]
    assert json.loads((tmp_path / "o" / "attacks.json").read_text()) == said
    markdown = (tmp_path / "o" / "attacks.md").read_text()
    assert "| counting &lt;b> | AUC | 0.500 | 0.750 [0.50, 1.00] |" in markdown
    page = (tmp_path / "o" / "report.html").read_text()
    assert "counting &lt;b&gt;" in page and "saw a | and &lt;/script&gt;" in page
    assert "src=" not in page.split("<script")[0] and page.count("</script>") == 3


def test_finished_cells_are_kept_and_failed_ones_tried_again(shop: Path, tmp_path: Path, counting: Counting) -> None:
    for _ in range(2):
        assert invoke("--all", "--data", shop, "--out", tmp_path / "o").exit_code == 0
    assert counting.runs == [*DEFENCES, "secagg"]
    said = json.loads((tmp_path / "o" / "attacks.json").read_text())
    assert len(said["results"]) == 4 and said["failed"] == []


def test_figures_of_another_seed_are_not_mixed_in(shop: Path, tmp_path: Path, counting: Counting) -> None:
    assert invoke("--all", "--data", shop, "--out", tmp_path / "o", "--defence", "plain").exit_code == 0
    refused = invoke("--all", "--data", shop, "--out", tmp_path / "o", "--seed", 1)
    assert refused.exception is not None and "another seed" in str(refused.exception)
    assert counting.runs == ["plain"]


def test_a_runs_report_gets_one_section_however_often(shop: Path, tmp_path: Path, counting: Counting) -> None:
    out = tmp_path / "o"
    out.mkdir()
    (out / "run.json").write_text("{}")
    (out / "report.html").write_text("<main>of the run</main><footer>")
    for _ in range(2):
        assert invoke("--all", "--data", shop, "--out", out).exit_code == 0
    page = (out / "report.html").read_text()
    assert page.startswith("<main>of the run") and page.endswith("</main><footer>")
    assert page.count("Attacks on ourselves") == 1 and "<script" not in page


@pytest.mark.parametrize("args", [(), ("nonsense",), ("--all", "--defence", "nonsense")])
def test_what_is_not_there_is_refused_with_what_is(
    args: tuple[str, ...], shop: Path, tmp_path: Path, counting: Counting
) -> None:
    result = invoke(*args, "--data", shop, "--out", tmp_path / "o")
    assert isinstance(result.exception, ConfigError)
    assert counting.name in str(result.exception) or "user-dp-1" in str(result.exception)
    assert not (tmp_path / "o").exists()


def test_the_attacks_of_this_folder_are_found() -> None:
    found = registry.all_attacks()
    assert {"exposure", "exposure-unbounded", "raifle"} <= set(found)
    assert all(attack.name == name and attack.paper for name, attack in found.items())


def test_help_names_every_attack() -> None:
    said = " ".join(CliRunner().invoke(build(), ["privacy", "attack", "--help"]).output.split())
    listed = said[said.index("The attacks:") : said.index("Finished cells")]
    assert set(listed.removeprefix("The attacks:").strip(" .").split(", ")) == set(registry.all_attacks())
