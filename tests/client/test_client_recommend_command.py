"""``fedrec recommend`` and ``fedrec device forget``: the list that Python gives, and a code for each failure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from ranker_cases import Place, a_picture
from typer.testing import CliRunner

import fedrec.cli.device
import fedrec.cli.main
from fedrec.client.ranker import recommend
from fedrec.client.recommendation import Recommendation
from fedrec.data.store import EventStore
from fedrec.errors import StoreError


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.device.register], []))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    return fedrec.cli.main.build()


def test_the_command_prints_the_same_list(place: Place, app: typer.Typer) -> None:
    arguments = ["recommend", str(place.release), "--store", str(place.store), "--user", "anna", "--top", "3"]
    as_json = CliRunner().invoke(app, [*arguments, "--json"])
    assert as_json.exit_code == 0, as_json.output
    told = json.loads(as_json.stdout)
    assert told["user"] == "anna"
    expected = recommend(place.release, place.store, "anna", 3)
    assert [Recommendation(**one) for one in told["recommendations"]] == expected
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    assert all(one.title in shown.stdout for one in expected)


def test_the_command_searches_by_words_and_by_a_picture(place: Place, app: typer.Typer, tmp_path: Path) -> None:
    arguments = ["recommend", str(place.release), "--store", str(place.store), "--user", "anna", "--top", "2"]
    before = place.store.read_bytes()
    told = CliRunner().invoke(app, [*arguments, "--query", "red lamp", "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["found"][0]["item"] == "red-lamp"  # which anna has met
    shown = CliRunner().invoke(app, [*arguments, "--picture", str(a_picture(tmp_path / "p.png", "red"))])
    assert shown.exit_code == 0 and "like the picture" in shown.stdout
    assert place.store.read_bytes() == before
    refused = CliRunner().invoke(app, [*arguments, "--query", "qqzz", "--json"])
    assert refused.exit_code != 0 and "no word" in refused.stdout


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda place: {"--user": "nobody"}, 4),
        (lambda place: {"--store": "absent.sqlite"}, 4),
        (lambda place: {"--key": str(place.other_key)}, 9),
        (lambda place: {"--top": "0"}, 2),
    ],
)
def test_the_command_has_an_exit_code_for_each_failure(
    place: Place, app: typer.Typer, change: Callable[[Place], dict[str, str]], code: int
) -> None:
    options = {"--store": str(place.store), "--user": "anna", **change(place)}
    words = [word for pair in options.items() for word in pair]
    result = CliRunner().invoke(app, ["recommend", str(place.release), *words, "--json"])
    assert result.exit_code == code
    assert "error" in json.loads(result.stdout)


def test_the_commands_vary_a_list_and_forget_a_user(place: Place, app: typer.Typer, tmp_path: Path) -> None:
    runner = CliRunner()
    store = Path(shutil.copy(place.store, tmp_path / "store.sqlite"))
    where = ["--store", str(store), "--user", "anna", "--json"]
    varied = runner.invoke(app, ["recommend", str(place.release), *where, "--top", "6", "--variety", "0.9"])
    assert varied.exit_code == 0, varied.output
    listed = [one["item"] for one in json.loads(varied.output)["recommendations"]]
    assert listed == [one.item for one in recommend(place.release, store, "anna", 6, variety=0.9)]
    gone = runner.invoke(app, ["device", "forget", *where])
    assert gone.exit_code == 0, gone.output
    with EventStore.open(store) as opened:
        assert "anna" not in opened.users() and opened.users()
    assert runner.invoke(app, ["device", "forget", *where]).exit_code == StoreError.exit_code
