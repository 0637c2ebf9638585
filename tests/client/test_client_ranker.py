"""Ranking on a device: from a release on disk and a store, without anything else."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import fedrec.cli.device
import fedrec.cli.main
from fedrec.api.release import open_release
from fedrec.client.ranker import Ranker, Recommendation, recommend
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config, from_tree
from fedrec.content.catalogue import Catalogue
from fedrec.content.features import build_features
from fedrec.content.registry import encoder_to_bytes
from fedrec.data.schema import Event, ItemRecord, Note, Photo
from fedrec.data.store import EventStore
from fedrec.errors import DataError, ModelError, ReleaseError, StoreError
from fedrec.model.recommender import Recommender
from fedrec.ranking.lists import content_vectors
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.release.model_state import state_of

COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}
KINDS = ("shirt", "lamp", "mug", "tent", "shoe", "chair")
CONFIG = {
    "content": {"text": {"dimension": 8, "vocabulary": 300}, "image": {"dimension": 8}},
    "model": {"dimension": 8, "notes": True, "photos": True},
    "collaborative": {"scoring": {"weight": 0.3, "popularity_weight": 0.1}},
}


@dataclass(frozen=True)
class Place:
    """Where the tiny release and store lie, and what they were made of."""

    release: Path
    store: Path
    key: Path
    other_key: Path
    titles: dict[str, str]


def a_picture(path: Path, colour: str) -> Path:
    Image.new("RGB", (32, 32), COLOURS[colour]).save(path)
    return path


def tiny_contents(directory: Path, config: Config) -> ReleaseContents:
    items = tuple(
        ItemRecord(
            id=f"{colour}-{kind}",
            title=f"{colour.title()} {kind}",
            text=f"A {colour} {kind} made of {colour} material for people who like {kind}s",
            attributes={"kind": (kind,)},
            image=a_picture(directory / f"{colour}-{kind}.png", colour),
        )
        for colour in COLOURS
        for kind in KINDS
    )
    features, encoders = build_features(Catalogue.of(items), config.content)
    model = Recommender(config.model, features.shapes, seed=1, temperature=0.1)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, len(items), 3)).astype(np.float32)
    factors = CollaborativeFactors(table[0], table[1], np.arange(len(items), dtype=np.float32))
    return ReleaseContents(
        name="tiny",
        items=features,
        model=state_of(model),
        collaborative=factors,
        encoders={modality: encoder_to_bytes(one) for modality, one in encoders.items()},
        config=config.model_dump(mode="json"),
        privacy={"epsilon_released": None},
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    directory = tmp_path_factory.mktemp("device")
    contents = tiny_contents(directory, from_tree(CONFIG))
    key = SigningKey.fresh()
    write_release(directory / "model", contents, key=key)
    (directory / "key.pub").write_text(key.public.hex() + "\n")
    (directory / "other.pub").write_text(SigningKey.fresh().public.hex() + "\n")
    photo = a_picture(directory / "mine.png", "red").read_bytes()
    with EventStore.create(directory / "store.sqlite") as store:
        events = [Event("red-shirt", 10), Event("red-lamp", 20), Event("gone-item", 30), Event("red-shirt", 40)]
        store.add_events("anna", events)
        store.add_user("newcomer")
        store.add_note("writer", Note("I like red tents and a red mug"))
        store.add_photo("writer", Photo("mine.png", photo))
        store.add_photo("blurred", Photo("broken.jpg", b"no picture"))
    titles = dict(zip(contents.items.ids, contents.items.titles, strict=True))
    return Place(
        directory / "model", directory / "store.sqlite", directory / "key.pub", directory / "other.pub", titles
    )


def test_a_list_has_ranks_titles_falling_scores_and_nothing_that_was_seen(place: Place) -> None:
    found = recommend(place.release, place.store, "anna", 5)
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert not {"red-shirt", "red-lamp"} & {one.item for one in found}
    for one in found:
        assert one.title == place.titles[one.item]
        assert set(one.shares) == {"text", "image", "attributes", "behaviour", "popularity"}
        assert sum(one.shares.values()) == pytest.approx(1.0)
        assert one.nearest in {"Red shirt", "Red lamp"}
        assert str(one.nearest) in one.reason


def test_asking_for_more_than_there_is_gives_what_there_is(place: Place) -> None:
    assert len(recommend(place.release, place.store, "anna", 500)) == len(place.titles) - 2
    assert len(recommend(place.release, place.store, "newcomer", 500)) == len(place.titles)


@pytest.mark.parametrize("user", ["newcomer", "writer", "blurred"])
def test_a_user_without_events_gets_recommendations(place: Place, user: str) -> None:
    found = recommend(place.release, place.store, user, 3)
    assert len(found) == 3
    assert all(one.nearest is None and one.reason for one in found)


def test_notes_and_photos_change_the_list_and_its_reasons(place: Place) -> None:
    newcomer = recommend(place.release, place.store, "newcomer", 12)
    writer = recommend(place.release, place.store, "writer", 12)
    assert [one.item for one in newcomer] != [one.item for one in writer]
    assert "wrote" in writer[0].reason
    assert "photographed" in writer[0].reason
    assert "Without knowing you" in newcomer[0].reason
    assert "photographed" not in recommend(place.release, place.store, "blurred", 1)[0].reason


def test_a_newcomer_sees_the_most_popular_first(place: Place) -> None:
    popular = list(place.titles)[::-1]
    assert [one.item for one in recommend(place.release, place.store, "newcomer", 12)] == popular


def test_ranking_neither_writes_to_the_store_nor_to_the_release(place: Place) -> None:
    before = {path.name: path.read_bytes() for path in place.release.iterdir()}
    with EventStore.open(place.store) as store:
        users, events = store.users(), store.events("anna")
    recommend(place.release, place.store, "anna", 3)
    assert {path.name: path.read_bytes() for path in place.release.iterdir()} == before
    with EventStore.open(place.store) as store:
        assert (store.users(), store.events("anna")) == (users, events)


def test_the_same_device_gets_the_same_list(place: Place) -> None:
    assert recommend(place.release, place.store, "anna", 9) == recommend(place.release, place.store, "anna", 9)


def test_an_unknown_user_is_refused_and_nothing_but_ids_is_told(place: Place) -> None:
    with pytest.raises(StoreError, match="no such user") as caught:
        recommend(place.release, place.store, "nobody", 3)
    assert "4 users" in caught.value.action
    assert "anna" in caught.value.action
    assert "red-" not in str(caught.value)


def test_a_device_of_many_users_names_a_few(place: Place, tmp_path: Path) -> None:
    with EventStore.create(tmp_path / "many.sqlite") as store:
        for number in range(9):
            store.add_user(f"u{number}")
    with pytest.raises(StoreError) as caught:
        recommend(place.release, tmp_path / "many.sqlite", "nobody", 3)
    assert "u4" in caught.value.action
    assert "u5" not in caught.value.action
    assert "4 more" in caught.value.action


def test_a_release_is_held_to_the_trusted_key(place: Place, tmp_path: Path) -> None:
    assert recommend(place.release, place.store, "anna", 1, trusted_key=place.key)
    for bad in (place.other_key, tmp_path / "absent.pub", place.store):
        with pytest.raises(ReleaseError):
            recommend(place.release, place.store, "anna", 1, trusted_key=bad)


def test_what_cannot_be_ranked_with_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError):
        recommend(tmp_path, place.store, "anna", 3)
    with pytest.raises(StoreError):
        recommend(place.release, tmp_path / "absent.sqlite", "anna", 3)
    with pytest.raises(ModelError):
        recommend(place.release, place.store, "anna", 0)


def test_a_release_with_settings_of_another_version_is_refused(place: Place, tmp_path: Path) -> None:
    contents = tiny_contents(tmp_path, from_tree(CONFIG))
    changed = ReleaseContents(
        name="odd",
        items=contents.items,
        model=None,
        collaborative=contents.collaborative,
        config={"collaborative": {"colour": 1}},
    )
    write_release(tmp_path / "odd", changed, key=SigningKey.fresh())
    with pytest.raises(ReleaseError, match="settings"):
        recommend(tmp_path / "odd", place.store, "anna", 3)


def test_a_release_without_a_model_ranks_by_behaviour(place: Place, tmp_path: Path) -> None:
    contents = tiny_contents(tmp_path, from_tree(CONFIG))
    bare = ReleaseContents(
        name="bare", items=contents.items, model=None, collaborative=contents.collaborative, config=contents.config
    )
    write_release(tmp_path / "bare", bare, key=SigningKey.fresh())
    found = recommend(tmp_path / "bare", place.store, "anna", 3)
    assert len(found) == 3
    assert all(set(one.shares) == {"behaviour", "popularity"} for one in found)


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


def test_a_ranker_serves_many_users_of_one_release(place: Place) -> None:
    ranker = Ranker(read_release(place.release))
    with EventStore.open(place.store) as store:
        for user in store.users():
            assert ranker.recommend(store, user, 4) == recommend(place.release, place.store, user, 4)


def test_an_opened_release_ranks_as_a_device_with_a_store(place: Place, tmp_path: Path) -> None:
    release = open_release(place.release)
    history = ["red-shirt", "red-lamp", "gone-item", "red-shirt"]
    assert release.recommend(history, top=5) == recommend(place.release, place.store, "anna", 5)
    events = [Event(item, 10 * (when + 1)) for when, item in enumerate(history)]
    assert release.recommend(events, top=5) == recommend(place.release, place.store, "anna", 5)
    assert release.recommend(top=4) == recommend(place.release, place.store, "newcomer", 4)
    photo = a_picture(tmp_path / "mine.png", "red")
    written = recommend(place.release, place.store, "writer", 12)
    for given in (photo, str(photo), photo.read_bytes()):
        found = release.recommend(notes=["I like red tents and a red mug"], photos=[given], top=12)
        assert found == written
    assert release.recommend(photos=[b"no picture"], top=3) == recommend(place.release, place.store, "blurred", 3)


def test_an_opened_release_says_what_it_is(place: Place) -> None:
    release = open_release(place.release)
    assert dict(release.items) == place.titles
    assert release.name == "tiny" and not release.trusted
    assert release.privacy == {"epsilon_released": None}
    assert release.config["model"]["dimension"] == 8
    assert "tiny" in repr(release) and release.signer in repr(release)
    with pytest.raises(TypeError):
        release.items["red-shirt"] = "mine"  # type: ignore[index]


def test_an_opened_release_is_held_to_the_trusted_key(place: Place) -> None:
    text = place.key.read_text()
    for key in (place.key, str(place.key), text, bytes.fromhex(text)):
        assert open_release(place.release, key).trusted
    other = place.other_key.read_text()
    for key in (place.other_key, other, bytes.fromhex(other), "no such file"):
        with pytest.raises(ReleaseError):
            open_release(place.release, key)


def test_an_opened_release_needs_no_disk(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.release, tmp_path / "gone")
    release = open_release(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    assert len(release.recommend(["red-shirt"], top=3)) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_an_opened_release_cannot_rank_for_is_refused(place: Place, tmp_path: Path) -> None:
    release = open_release(place.release)
    with pytest.raises(ModelError, match="none of the items") as caught:
        release.recommend(["gone-item", 3])
    assert "red-shirt" in caught.value.action
    with pytest.raises(ModelError, match="list of ids"):
        release.recommend("red-shirt")
    with pytest.raises(ModelError):
        release.recommend(["red-shirt"], top=0)
    with pytest.raises(DataError, match=r"gone\.jpg"):
        release.recommend(photos=[tmp_path / "gone.jpg"])


def test_variety_parts_items_that_are_alike_and_keeps_the_best_first(place: Place) -> None:
    plain = recommend(place.release, place.store, "anna", 99)
    assert recommend(place.release, place.store, "anna", 99, variety=0.0) == plain
    items = read_release(place.release).contents.items
    vectors = content_vectors(items.values, items.present)
    assert vectors is not None
    unit = {one: row / np.linalg.norm(row) for one, row in zip(items.ids, vectors, strict=True)}
    varied = recommend(place.release, place.store, "anna", 2, variety=1.0)
    assert [one.rank for one in varied] == [1, 2]
    assert varied[0].item == plain[0].item
    likeness = {one.item: float(unit[one.item] @ unit[plain[0].item]) for one in plain[1:]}
    assert likeness[varied[1].item] == pytest.approx(min(likeness.values()))
    assert varied[1].item != plain[1].item
    with pytest.raises(ModelError, match="variety"):
        recommend(place.release, place.store, "anna", 6, variety=1.5)


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
