"""A simulation as a whole: it can be repeated and taken up again, and does not go on where something does not fit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.errors import ConfigError, PrivacyError, StoreError
from fedrec.release.bundle import read_release
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop

SETTINGS: dict[str, Any] = {
    "model": {"dimension": 4},
    "training": {"rounds": 2, "negatives": 20},
    "privacy": {"epsilon": 8.0},
    "evaluation": {"every": 1},
}


def config(**sections: Any) -> Config:
    return from_tree(SETTINGS | sections)


def run(out: Path, shop: Path, settings: Config | None = None) -> dict[str, Any]:
    return simulate(settings or config(), shop, out, reporter=SilentReporter())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run") / "shop"
    write_shop(directory, users=24, items=140, seed=3)
    return directory


@pytest.fixture(scope="module")
def finished(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    run(out, shop)
    return out


def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "again"))


def test_the_same_run_again_says_the_same_and_pays_nothing(finished: Path, shop: Path, tmp_path: Path) -> None:
    before = json.loads((finished / "run.json").read_text())
    again = run(copied(finished, tmp_path), shop)
    for section in ("config", "data", "model", "quality", "privacy", "secure_aggregation"):
        assert json.loads(json.dumps(again[section])) == before[section], section
    lines = (tmp_path / "again" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["query"] for line in lines] == ["popularity", "cooccurrence", "training", "training"]


def test_one_seed_gives_one_release_and_another_seed_another(finished: Path, shop: Path, tmp_path: Path) -> None:
    def released(out: Path) -> list[float]:
        contents = read_release(out / "model").contents
        assert contents.collaborative is not None
        return contents.collaborative.popularity.tolist()

    run(tmp_path / "same", shop)
    run(tmp_path / "other", shop, config(run={"seed": 1}))
    assert released(tmp_path / "same") == released(finished)
    assert released(tmp_path / "other") != released(finished)


def test_a_private_release_says_nothing_that_the_ledger_does_not_cover(
    finished: Path, shop: Path, tmp_path: Path
) -> None:
    measured = json.loads((finished / "run.json").read_text())
    card = (finished / "model" / "MODEL_CARD.md").read_text()
    assert "not measured" in card
    assert "loo" not in card
    without_digests = re.sub(r"[0-9a-f]{64}", "", card)  # one may hold any three digits
    assert f"{measured['data']['interactions']}" not in without_digests.replace(",", "")
    run(tmp_path / "open", shop, config(privacy={"epsilon": None}))
    assert "loo" in (tmp_path / "open" / "model" / "MODEL_CARD.md").read_text()


def test_other_data_or_settings_do_not_go_on_in_a_runs_directory(finished: Path, shop: Path, tmp_path: Path) -> None:
    out = copied(finished, tmp_path)
    changed = Path(shutil.copytree(shop, tmp_path / "changed"))
    rows = (changed / "interactions.csv").read_text().splitlines()
    (changed / "interactions.csv").write_text("\n".join(rows[:1] + rows[2:]) + "\n")
    with pytest.raises(StoreError, match="other settings or data"):
        run(out, changed)
    with pytest.raises(StoreError, match="other settings or data"):
        run(out, shop, config(training={"rounds": 3, "negatives": 20}))


def test_a_state_whose_ledger_is_gone_is_not_gone_on_with(finished: Path, shop: Path, tmp_path: Path) -> None:
    out = copied(finished, tmp_path)
    (out / "ledger.sqlite").unlink()
    with pytest.raises(PrivacyError, match="the ledger lacks"):
        run(out, shop)


def test_what_cannot_work_is_refused_before_anything_is_asked(shop: Path, tmp_path: Path) -> None:
    bad = config(collaborative={"prior": {"weight": 1.0, "modalities": {"smell": 1.0}}})
    with pytest.raises(ConfigError, match="modalities"):
        run(tmp_path / "prior", shop, bad)
    assert not (tmp_path / "prior" / "events.jsonl").exists()
    with pytest.raises(ConfigError, match="flwr run"):
        run(tmp_path / "flower", shop, config(run={"engine": "flower"}))
    assert not (tmp_path / "flower").exists()
