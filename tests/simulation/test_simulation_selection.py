"""A choice through a whole simulation: what is chosen is what is released, measured, stated and shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fedrec.api.privacy import statement, verify
from fedrec.config import from_tree
from fedrec.console import SilentReporter
from fedrec.release.bundle import read_release
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop

USERS = 80
POPULARITY = {"scoring": {"personal": False, "popularity_weight": 1.0}}
NOTHING = {"scoring": {"personal": False, "popularity_weight": 0.0}}


def settings(candidates: dict[str, Any], default: str, **sections: Any) -> Any:
    return from_tree(
        {
            "content": {"modalities": ["text", "attributes"]},
            "model": {"tower": False},
            "collaborative": {
                "cooccurrence": {"enabled": False},
                "power_iteration": {"enabled": True, "rank": 4},
                "prior": {"weight": 0.5, "modalities": {"text": 1.0, "attributes": 1.0}},
                "scoring": {"weight": 1.0},
                "selection": {"candidates": candidates, "default": default},
            },
            "evaluation": {"private_metrics": True},
            "privacy": {"epsilon": 50.0},
            **sections,
        }
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("selection") / "shop"
    write_shop(directory, users=USERS, items=140, seed=3)
    return directory


@pytest.fixture(scope="module")
def finished(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its default is a model that ranks nothing, so that popularity is better."""
    out = tmp_path_factory.mktemp("finished")
    simulate(settings({"rubbish": NOTHING, "popularity": POPULARITY}, "rubbish"), shop, out, reporter=SilentReporter())
    return out


@pytest.fixture(scope="module")
def record(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    return found


def test_popularity_is_chosen_where_the_model_is_rubbish(record: dict[str, Any]) -> None:
    chosen = record["selection"]
    assert (chosen["chosen"], chosen["default"]) == ("popularity", "rubbish")
    assert [one["name"] for one in chosen["candidates"]] == ["rubbish", "popularity"]
    assert all(one["noise"] > 0 for one in chosen["candidates"])
    assert chosen["bytes_down"] > 0
    # Where every score is the same, half of the others are below; the record is of what was chosen.
    assert record["quality"]["loo-99neg"]["auc"] > 0.55


def test_what_is_chosen_is_what_is_released(finished: Path, record: dict[str, Any]) -> None:
    assert record["config"]["collaborative"]["scoring"]["personal"] is True, "the record has what was asked"
    contents = read_release(finished / "model").contents
    assert (
        contents.config["collaborative"]["scoring"] | POPULARITY["scoring"]
        == contents.config["collaborative"]["scoring"]
    )
    assert contents.config["collaborative"]["selection"]["candidates"] == {}
    assert "chosen by the devices" in contents.card


def test_tuning_is_charged_and_stated_as_inside_epsilon(finished: Path, record: dict[str, Any]) -> None:
    assert "selection" in [one["query"] for one in record["privacy"]["queries"]]
    assert record["privacy"]["tuning"]["inside_epsilon"] is True
    stated = statement(finished)
    assert stated.facts["tuning"]["queries"] == ["selection"]
    assert "Tuning: tuning is inside epsilon" in stated.page
    assert all(check.passed for check in verify(finished))


def test_that_popularity_won_is_said_first(finished: Path, record: dict[str, Any]) -> None:
    assert any("ranking by popularity (popularity) does best" in said for said in record["warnings"])
    report = (finished / "report.html").read_text(encoding="utf-8")
    assert "What the devices chose" in report and record["selection"]["reason"] in report.replace("&#39;", "'")


def test_a_finished_run_that_is_taken_up_again_chooses_the_same(
    finished: Path, record: dict[str, Any], shop: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "again"))
    config = settings({"rubbish": NOTHING, "popularity": POPULARITY}, "rubbish")
    again = json.loads(json.dumps(simulate(config, shop, out, reporter=SilentReporter())))
    for section in ("selection", "quality", "privacy", "queries", "warnings"):
        assert again[section] == record[section], section


def test_a_run_without_candidates_says_that_tuning_is_outside(shop: Path, tmp_path: Path) -> None:
    config = settings({}, "", evaluation={"private_metrics": False})
    found = simulate(config, shop, tmp_path, reporter=SilentReporter())
    assert found["selection"] is None
    assert found["privacy"]["tuning"]["inside_epsilon"] is False
    assert "outside of epsilon, if they were tuned" in found["privacy"]["tuning"]["said"]
