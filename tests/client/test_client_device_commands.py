"""The device's own commands, on a directory that holds a store and a release: from a first event to forgetting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from ranker_cases import CONFIG, Place, a_picture, tiny_contents
from typer.testing import CliRunner

import fedrec.cli.device
import fedrec.cli.main
from fedrec.client.pending_round import save_replay_guard
from fedrec.config import from_tree
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import ContentError, ReleaseError, StoreError
from fedrec.privacy.accountant import QueryCost, gaussian_noise
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.release.bundle import write_release
from fedrec.release.keys import SigningKey
from fedrec.secagg.replay_guard import ReplayGuard, SeenRound

DELTA = 1e-4


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.device.register], []))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    return fedrec.cli.main.build()


@pytest.fixture
def home(place: Place, tmp_path: Path) -> Path:
    """A device's directory: an empty store, and the tiny release beside it."""
    directory = tmp_path / "device"
    shutil.copytree(place.release, directory / "release")
    EventStore.create(directory / "store.sqlite").close()
    return directory


def told(app: typer.Typer, *words: str | Path, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, [str(word) for word in (*words, "--json")])
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def shown(app: typer.Typer, *words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def items(found: dict[str, Any]) -> list[str]:
    return [one["item"] for one in found["recommendations"]]


def test_a_person_adds_and_sees_it_at_once_without_a_name(app: typer.Typer, home: Path, tmp_path: Path) -> None:
    here = ("--store", home)
    assert told(app, "device", "add-event", "red-shirt", *here)["user"] == "me"
    first = told(app, "device", "recommend", *here, "--top", "12")
    assert "red-shirt" not in items(first) and len(items(first)) == 11
    assert told(app, "device", "add-event", "Red lamp", *here, "--at", "2020-01-01", "--rating", "3")["added"]
    assert "red-lamp" not in items(told(app, "device", "recommend", *here, "--top", "12"))
    told(app, "device", "add-note", "blue tents", *here)
    told(app, "device", "add-photo", a_picture(tmp_path / "mine.png", "blue"), *here)
    history = told(app, "device", "history", *here)
    assert [line["kind"] for line in history["lines"]] == ["note", "event", "event", "photo"] or [
        line["kind"] for line in history["lines"]
    ] == ["event", "note", "event", "photo"]
    assert {"Red lamp", "Red shirt"} <= {line["title"] for line in history["lines"]}
    assert "page 2 of 4" in shown(app, "device", "history", *here, "--size", "1", "--page", "2")
    # The commands that take a release first do as well without a name, and by the directory.
    same = told(app, "recommend", home / "release", *here, "--top", "12")
    assert same == told(app, "device", "recommend", *here, "--top", "12", "--user", "me")
    assert told(app, "device", "recommend", *here, "--query", "blue lamp")["found"][0]["item"] == "blue-lamp"
    clicks = ("--shown", "blue-mug", "--item", "blue-mug")
    assert told(app, "device", "clicked", home / "release", *here, *clicks)["learned_from"] == 1


def test_what_cannot_be_is_refused_in_words_and_nothing_is_kept(app: typer.Typer, home: Path, tmp_path: Path) -> None:
    here = ("--store", home)
    error = told(app, "device", "add-event", "red-shrit", *here, code=ContentError.exit_code)["error"]
    assert "red-shirt" in error["action"]
    told(app, "device", "add-event", "red-shirt", *here, "--at", "soon", code=StoreError.exit_code)
    told(app, "device", "add-event", "red-shirt", *here, "--rating", "nan", code=StoreError.exit_code)
    told(app, "device", "add-note", " ", *here, code=ContentError.exit_code)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    told(app, "device", "add-note", "--file", tmp_path / "bytes", *here, code=ContentError.exit_code)
    told(app, "device", "add-note", *here, code=2)
    told(app, "device", "add-photo", tmp_path / "bytes", *here, code=ContentError.exit_code)
    told(app, "device", "add-photo", tmp_path / "gone.png", *here, code=ContentError.exit_code)
    told(app, "device", "recommend", "--store", tmp_path, code=StoreError.exit_code)
    with EventStore.open(home / "store.sqlite") as store:
        assert store.users() == []
    assert told(app, "device", "add-event", "red-shrit", *here, "--unlisted")["event"]["item"] == "red-shrit"


def test_a_store_ahead_of_its_release_and_behind_it(app: typer.Typer, home: Path, tmp_path: Path) -> None:
    """Events of items that the release does not know stay; an older release is used where a person says so."""
    here, key = ("--store", home), SigningKey.fresh()
    (tmp_path / "key").write_text(key.public.hex())
    (tmp_path / "pictures").mkdir()
    whole = tiny_contents(tmp_path / "pictures", from_tree(CONFIG))
    shutil.rmtree(home / "release")
    write_release(home / "release", whole, key=key, version=2)
    for item in ("red-shirt", "blue-mug"):
        told(app, "device", "add-event", item, *here)
    told(app, "device", "add-event", "of-a-release-to-come", "--unlisted", *here)
    full = items(told(app, "device", "recommend", *here, "--top", "12", "--key", tmp_path / "key"))
    assert len(full) == 10
    write_release(tmp_path / "older", whole, key=key, version=1)
    older = ("--release", tmp_path / "older")
    error = told(app, "device", "recommend", *here, *older, code=ReleaseError.exit_code)["error"]
    assert "version" in error["what"]
    assert items(told(app, "device", "recommend", *here, *older, "--top", "12", "--allow-older")) == full
    # A history is shown all the same, without titles where its release is not to be used.
    shutil.rmtree(home / "release")
    shutil.copytree(tmp_path / "older", home / "release")
    lines = told(app, "device", "history", *here)["lines"]
    assert len(lines) == 3 and {line["title"] for line in lines} == {""}


def test_a_budget_names_what_left_and_forgetting_what_stays(app: typer.Typer, home: Path) -> None:
    here = ("--store", home)
    told(app, "device", "add-event", "red-shirt", *here)
    assert told(app, "device", "budget", *here)["answers"] == 0
    assert "nothing to recall" in shown(app, "device", "forget", *here)
    told(app, "device", "add-event", "red-shirt", *here, "--user", "anna")
    z = 2 * gaussian_noise(2.0, DELTA)
    with EventStore.open(home / "store.sqlite") as store, store.transaction(durable=True):
        for number in range(2):
            agreed = Agreement("a manifest", 2.0, DELTA)
            DeviceLedger(store).charge_shared(
                agreed, QueryCost("training", z), run="spring", query="training", round=number
            )
        save_replay_guard(
            store, ReplayGuard({"spring": SeenRound(1, 0, 1, True), "lost": SeenRound(0, 0, 1, True)}, [1])
        )
        store.set_setting("secagg pending", '"AAAA"')
    found = told(app, "device", "budget", *here, "--limit", "3")
    assert found["answers"] == 2 and found["unrecorded"] == ["lost"]
    assert found["sums"][0]["rounds"] == [0, 1] and found["sums"][0]["run"] == "spring"
    assert found["left"] == pytest.approx(3.0 - found["epsilon"]) and 0 < found["epsilon"] < 2
    assert "training" in shown(app, "device", "budget", *here)
    gone = told(app, "device", "forget", *here)
    assert gone["forgotten"] == "anna" and gone["not_recalled"]["answers"] == 2
    with EventStore.open(home / "store.sqlite") as store:
        assert store.users() == [] and store.get_setting("secagg pending") == "null"
    again = told(app, "device", "budget", *here)
    assert again["epsilon"] == found["epsilon"], "forgetting renews no budget"
    told(app, "device", "forget", *here, code=StoreError.exit_code)


def test_a_store_of_several_asks_for_a_name(app: typer.Typer, place: Place, tmp_path: Path) -> None:
    store = Path(shutil.copy(place.store, tmp_path / "only.sqlite"))
    error = told(app, "recommend", place.release, "--store", tmp_path, code=StoreError.exit_code)["error"]
    assert "several users" in error["what"] and "anna" in error["action"]
    told(app, "device", "add-event", "red-shirt", "--store", store, "--user", "ana", code=StoreError.exit_code)
    added = told(app, "device", "add-event", "red-shirt", "--store", store, "--user", "ana", "--new-user")
    assert added["user"] == "ana"
    EventStore.create(tmp_path / "second.sqlite").close()
    told(app, "recommend", place.release, "--store", tmp_path, code=StoreError.exit_code)


def test_a_device_that_was_made_with_a_store_of_its_own_names_it(app: typer.Typer, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        with EventStore.create(tmp_path / f"{name}.sqlite") as store:
            store.add_events(name, [Event("red-shirt", 1)])
    told(app, "device", "history", "--store", tmp_path, code=StoreError.exit_code)
    facts = {"name": "phone", "store": "mine.sqlite"}
    (tmp_path / "device.json").write_text(json.dumps(facts))
    assert told(app, "device", "history", "--store", tmp_path)["user"] == "mine"
