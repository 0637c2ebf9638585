"""Learning from clicks on a device: the list turns to what was clicked, and nothing but the store knows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from ranker_cases import CONFIG, tiny_contents
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.client.bandit_state import bandit_of
from fedrec.client.feedback import record_clicks
from fedrec.client.ranker import Ranker, recommend
from fedrec.config import from_tree
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import ModelError, StoreError
from fedrec.queries.request import Request
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey
from fedrec.simulation.study import Study

TOP = 6


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("taste")
    write_release(directory / "model", tiny_contents(directory, from_tree(CONFIG)), key=SigningKey.fresh())
    return directory / "model"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with EventStore.create(tmp_path / "store.sqlite") as opened:
        opened.add_events("anna", [Event("red-shirt", 10), Event("red-lamp", 20)])
        opened.add_user("ben")
    return tmp_path / "store.sqlite"


def listed(release: Path, store: Path, explore: float | None, user: str = "anna") -> list[str]:
    return [one.item for one in recommend(release, store, user, TOP, explore=explore)]


def test_without_clicks_or_exploring_the_list_is_the_shared_one(release: Path, store: Path) -> None:
    assert listed(release, store, 0.0) == listed(release, store, None)


def test_the_list_turns_to_what_is_clicked_and_only_where_it_is_asked_for(release: Path, store: Path) -> None:
    before, others = listed(release, store, None), listed(release, store, 0.0, "ben")
    everything = [one.item for one in recommend(release, store, "anna", 99)]
    liked = everything[-2:]
    for _ in range(12):
        assert record_clicks(release, store, "anna", everything, liked) == len(everything)
    assert set(listed(release, store, 0.0)[:2]) == set(liked)
    assert listed(release, store, None) == before
    assert listed(release, store, 0.0, "ben") == others


def test_what_was_not_tried_is_tried_where_exploring_counts(release: Path, store: Path) -> None:
    shown = listed(release, store, None)
    for _ in range(20):
        record_clicks(release, store, "anna", shown, [])
    assert len(set(listed(release, store, 3.0)) & set(shown)) < TOP


def test_another_release_begins_anew_and_damage_is_no_end(release: Path, store: Path, tmp_path: Path) -> None:
    record_clicks(release, store, "anna", ["blue-mug"], ["blue-mug"])
    ranker = Ranker(read_release(release))
    with EventStore.open(store) as opened:
        width = 1 + ranker.vectors.shape[1]
        assert bandit_of(opened, "anna", ranker.release.id, width).matrix.sum() > width
        assert bandit_of(opened, "anna", "another", width).matrix.tolist() == np.eye(width).tolist()
        opened.set_state("anna", "bandit", b"damaged")
        assert bandit_of(opened, "anna", ranker.release.id, width).matrix.tolist() == np.eye(width).tolist()


def test_what_makes_no_sense_is_refused(release: Path, store: Path) -> None:
    with pytest.raises(ModelError, match="not shown"):
        record_clicks(release, store, "anna", ["blue-mug"], ["blue-tent"])
    with pytest.raises(StoreError, match="no such user"):
        record_clicks(release, store, "nobody", ["blue-mug"], [])
    assert record_clicks(release, store, "anna", ["unheard-of"], []) == 0


def test_the_commands(release: Path, store: Path) -> None:
    runner, app = CliRunner(), build()
    where = [str(release), "--store", str(store), "--user", "anna"]
    arguments = ["device", "clicked", *where, "--shown", "blue-mug", "--shown", "blue-tent", "--item", "blue-tent"]
    found = runner.invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.output) == {"user": "anna", "learned_from": 2}
    listed_ = runner.invoke(app, ["recommend", *where, "--explore", "0.2", "--top", "3", "--json"])
    assert listed_.exit_code == 0, listed_.output
    assert len(json.loads(listed_.output)["recommendations"]) == 3


def test_no_answer_of_the_device_depends_on_it(federation_study: Study, tmp_path: Path) -> None:
    """With the state of a bandit and without, what leaves the device is the same to the last bit."""
    catalogue, stores = cases.place(federation_study, tmp_path)
    plain = sorted(stores.glob("*.sqlite"))[0]
    learned = Path(shutil.copy(plain, tmp_path / "learned.sqlite"))
    with EventStore.open(learned) as opened:
        opened.set_state(opened.users()[0], "bandit", b"what this user likes")
    config = cases.settings()
    asked: Request = cases.popularity_question(config, federation_study)
    answers = [
        cases.device(config, catalogue, path).answer(cases.envelope(asked, federation_study), "run")
        for path in (plain, learned)
    ]
    assert answers[0] == answers[1]
