"""The commands of simulations, on a small shop: what they print, and what they leave behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

import fedrec.cli.bench
import fedrec.cli.data
import fedrec.cli.main
import fedrec.cli.simulation
import fedrec.simulation.demo
from fedrec.config import Config, from_tree
from fedrec.data.store import EventStore
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.summary import shares_text, show_run

RUNNER = CliRunner()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    groups = [fedrec.cli.simulation.register, fedrec.cli.data.register, fedrec.cli.bench.register]
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: (groups, []))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    return fedrec.cli.main.build()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "shop"
    write_shop(directory, users=24, items=140, seed=3)
    return directory


def told(app: typer.Typer, *words: str | Path) -> Any:
    """The JSON that a command prints; it must succeed, and print nothing else."""
    result = RUNNER.invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_data_shop_makes_a_shop_and_tells_its_size(app: typer.Typer, tmp_path: Path, shop: Path) -> None:
    words = ("data", "shop", tmp_path / "again", "--users", "24", "--items", "140", "--seed", "3")
    facts = told(app, *words)
    assert (facts["users"], facts["items"]) == (24, 140)
    assert (tmp_path / "again" / "interactions.csv").read_bytes() == (shop / "interactions.csv").read_bytes()
    again = RUNNER.invoke(app, [*map(str, words), "--json"])
    assert again.exit_code == 2
    assert json.loads(again.stdout)["error"]["code"] == "config"


def test_data_inspect_counts(app: typer.Typer, shop: Path) -> None:
    facts = told(app, "data", "inspect", shop)
    assert (facts["users"], facts["items"]) == (24, 140)
    shown = RUNNER.invoke(app, ["data", "inspect", str(shop)])
    assert shown.exit_code == 0
    assert f"{facts['interactions']:,}" in shown.stdout


def test_data_inspect_says_what_columns_of_a_file_were_taken_for(app: typer.Typer, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("userId;movieId;comment\n1;2;x\n3;2;y\n", encoding="utf-8")
    facts = told(app, "data", "inspect", path)
    assert (facts["name"], facts["users"], facts["items"]) == ("mine", 2, 1)
    assert facts["columns"] == [
        "mine.csv: userId is taken as user",
        "mine.csv: movieId is taken as item",
        "mine.csv: comment is ignored",
    ]


def test_data_that_cannot_be_read_leaves_with_3(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_bytes(b"\xff\xfe what")
    for words in (["inspect", str(tmp_path)], ["stores", str(tmp_path), "--out", str(tmp_path / "stores")]):
        result = RUNNER.invoke(app, ["data", *words, "--json"])
        assert result.exit_code == 3
        assert json.loads(result.stdout)["error"]["code"] == "data"
    assert not (tmp_path / "stores").exists()


def test_data_stores_writes_a_store_a_user(app: typer.Typer, shop: Path, tmp_path: Path) -> None:
    facts = told(app, "data", "stores", shop, "--out", tmp_path / "stores")
    files = sorted((tmp_path / "stores").glob("*.sqlite"))
    assert facts["stores"] == len(files) == 24
    with EventStore.open(files[0]) as store:
        assert len(store.users()) == 1
    assert RUNNER.invoke(app, ["data", "stores", str(shop), "--out", str(tmp_path / "stores")]).exit_code == 4


@pytest.mark.parametrize(
    "words", [["demo", "--users", "3"], ["data", "shop", "x", "--seed", "-1"], ["bench", "train", "--workload", "w9"]]
)
def test_sizes_out_of_range_are_usage_errors(app: typer.Typer, words: list[str]) -> None:
    assert RUNNER.invoke(app, words).exit_code == 2


def tiny(load: Callable[[int], Config]) -> Callable[[int], Config]:
    """The demo's own settings with a single round, so that a test may run it."""

    def config(seed: int) -> Config:
        tree = load(seed).model_dump(mode="json")
        tree["training"]["rounds"] = 1
        return from_tree(tree)

    return config


def test_the_demo_recommends_and_can_be_run_again(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small_shop(out: Path, *, users: int, seed: int, progress: Any) -> object:
        return write_shop(out, users=users, items=140, seed=seed, progress=progress)

    monkeypatch.setattr(fedrec.simulation.demo, "write_shop", small_shop)
    monkeypatch.setattr(fedrec.simulation.demo, "demo_config", tiny(fedrec.simulation.demo.demo_config))
    words = ("demo", "--out", tmp_path / "demo", "--users", "30", "--seed", "2")
    found = told(app, *words)
    assert [one["rank"] for one in found["recommendations"]] == list(range(1, 11))
    assert found["run"]["config"]["run"]["seed"] == 2
    assert Path(found["report"]).is_file()
    again = RUNNER.invoke(app, [str(word) for word in words])
    assert again.exit_code == 0, again.output
    for part in (
        "popularity",
        "oracle",
        "epsilon, released model",
        "epsilon, server",
        "Sent by a device",
        "report.html",
    ):
        assert part in again.stdout
    assert found["recommendations"][0]["title"] in again.stdout
    other = RUNNER.invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--users", "31", "--json"])
    assert other.exit_code == 2


def test_bench_prints_a_number_above_zero(app: typer.Typer) -> None:
    found = told(app, "bench", "train", "--workload", "w1", "--users", "50", "--seconds", "0.2")
    assert found["users_per_second"]["fedrec"] > 0


def test_a_run_of_nulls_is_shown_as_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    show_run({"quality": None, "privacy": None, "cost": {"seconds": None, "rounds": None}}, Path("out"))
    shown = capsys.readouterr().out
    assert "None" not in shown
    assert "No promise" in shown


def test_shares_are_the_largest_first_without_nothing() -> None:
    assert shares_text({"a": 0.2, "b": 0.799, "c": 0.001}) == "b 80%, a 20%"


def test_every_command_says_what_it_is_for(app: typer.Typer) -> None:
    def check(command: click.Command, path: list[str]) -> None:
        assert command.help, path
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                check(inner, [*path, name])
            return
        result = RUNNER.invoke(app, [*path, "--help"])
        assert result.exit_code == 0
        for parameter in command.params:
            named = parameter.human_readable_name if isinstance(parameter, click.Argument) else ""
            # Some pairs of typer and click versions drop the help of arguments: the command's own help names them.
            assert named in (command.help or "") if named else getattr(parameter, "help", ""), (path, parameter.name)

    check(typer.main.get_command(app), [])
