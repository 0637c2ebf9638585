"""Bad input by the way that people bring it in: a directory, and a command that reads it.

Every case is either refused, with an exit code and words that name the file, before a device is asked; or the run goes
on without the bad part, says how many there are and why, and all that is good is used.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from data_cases import FIRST_DAY, SMALL, TASTES, append, fedrec_run, item, refused, told, user, write_csv, write_tastes

import fedrec.cli.main
from fedrec.data.store import EventStore

pytestmark = pytest.mark.slow

PEOPLE = 6
EVENTS = 3 * PEOPLE * (PEOPLE - 1)
ANN = user("alpine", 0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tastes(tmp_path_factory.mktemp("good") / "tastes", PEOPLE)


@pytest.fixture
def data(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good data directory, for a test to spoil."""
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    shutil.copytree(template, tmp_path / "tastes")
    (tmp_path / "run.toml").write_text(SMALL)
    return tmp_path / "tastes"


def simulate(data: Path, *settings: str, out: str = "out") -> tuple[str | Path, ...]:
    # So few devices that none of them would take part with the thresholds that are set by default.
    few = ("secure_aggregation.minimum_cohort=3", "secure_aggregation.minimum_survivors=3")
    words = [word for setting in (*few, *settings) for word in ("--set", setting)]
    return ("simulate", data.parent / "run.toml", "--data", data, "--out", data.parent / out, *words)


def survived(data: Path, *settings: str) -> str:
    """What a run over spoilt data says; it must end well, with every good interaction and the right answers."""
    result = fedrec_run(*simulate(data, *settings))
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    run = told(*simulate(data, *settings, out="again"))
    assert run["data"]["interactions"] == EVENTS
    assert run["quality"]["loo-99neg"]["hr@10"] == 1.0
    for name in ("report.html", "run.json", "events.jsonl", "model"):
        assert (data.parent / "again" / name).exists()
    return result.output


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def line_of(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


@pytest.mark.parametrize(
    ("file", "row", "reason"),
    [
        ("interactions.csv", f'"{ANN}",{item("alpine", 1)},4,{FIRST_DAY}', "duplicate row"),
        ("interactions.csv", f'"{ANN}",nowhere-00,4,{FIRST_DAY}', "unknown item"),
        ("interactions.csv", f'"{ANN}",{item("alpine", 1)},4,-1', "negative timestamp"),
        ("interactions.csv", f'"{ANN}",{item("alpine", 1)},NaN,5', "rating is not a finite number"),
        ("interactions.csv", f'"{ANN}",{item("alpine", 1)}', "missing cell"),
        ("items.csv", f"{item('alpine', 0)},Again,alpine,Twice", "duplicate item"),
        ("items.csv", "new-01,New,alpine," + "snow " * 2_000_000, "text over 1 MB, cut"),
        ("loo_99neg.csv", f'"{ANN}",,{item("alpine", 0)},', "duplicate row"),
    ],
)
def test_a_bad_row_is_left_out_counted_and_named(data: Path, file: str, row: str, reason: str) -> None:
    append(data / file, row)
    where = f"{file}:{line_of(data / file)}: {reason}"
    found = told("data", "inspect", data)
    assert found["skipped"] == {"rows": 1, "by_reason": {f"{file}: {reason}": 1}, "first": [where]}
    assert found["interactions"] == EVENTS
    shown = survived(data)
    assert f"left out 1 row or part of a row: {file}: {reason} (1)" in shown
    assert "Left out on reading: 1 row or part of a row" in shown
    assert "fedrec data inspect" in shown


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("interactions.csv", b"", ("interactions.csv:1", "empty")),
        ("interactions.csv", b"user,item\n", ("interactions.csv:1", "no rows")),
        ("interactions.csv", b"person,thing\na,b\n", ("interactions.csv:1", "wrong header", "user, item")),
        ("interactions.csv", b"user,item\nann,alpine-00\nb\xff,alpine-01\n", ("interactions.csv:3", "not UTF-8")),
        ("interactions.csv", b"user,item\nann,x\nann,y\nann,alpine-00\n", ("2 of 3 rows", "unknown item")),
        ("items.csv", b"", ("items.csv:1", "empty")),
        ("items.csv", b"item,title\n", ("items.csv:1", "no rows")),
        ("items.csv", b'item,title\na,"never closed\n', ("items.csv:2", "broken quoting")),
        ("loo_99neg.csv", b"user,test\n", ("loo_99neg.csv:1", "wrong header")),
        ("users.csv", b"", ("users.csv:1", "empty")),
        ("notes.csv", b"", ("notes.csv:1", "empty")),
        ("photos", b"a file", ("photos", "is a file")),
    ],
)
def test_a_broken_file_is_refused_by_name_before_anything_is_asked(
    data: Path, file: str, content: bytes, words: tuple[str, ...]
) -> None:
    (data / file).write_bytes(content)
    for shown in (refused(3, "data", "inspect", data), refused(3, *simulate(data))):
        assert all(word in shown for word in words), shown
    assert not (data.parent / "out" / "events.jsonl").exists()


def test_a_truncated_picture_is_named_and_its_item_is_kept(data: Path) -> None:
    cut_in_half(data / "images" / f"{item('alpine', 0)}.jpg")
    (data / "images" / f"{item('alpine', 1)}.jpg").write_bytes(b"no picture at all")
    for _ in range(2):  # the second time from the cache
        shown = survived(data)
        assert f"image of {item('alpine', 0)}: picture cannot be decoded" in shown
        assert f"image of {item('alpine', 1)}: not a picture" in shown
        shutil.rmtree(data.parent / "out")
        shutil.rmtree(data.parent / "again")


def test_a_catalogue_of_unreadable_pictures_says_so(data: Path) -> None:
    for path in (data / "images").iterdir():
        path.write_bytes(path.read_bytes()[:30])
    shown = refused(3, *simulate(data))
    assert "readable image" in shown
    assert "content.modalities" in shown
    survived(data, 'content.modalities=["text", "attributes"]')


def test_an_empty_photo_is_counted_and_an_unreadable_one_too(data: Path) -> None:
    folder = data / "photos" / ANN
    folder.mkdir(parents=True)
    shutil.copy(data / "images" / f"{item('alpine', 1)}.jpg", folder / "good.jpg")
    shutil.copy(data / "images" / f"{item('alpine', 1)}.jpg", folder / "half.jpg")
    cut_in_half(folder / "half.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    found = told("data", "inspect", data)
    assert found["skipped"]["first"] == [f"photos/{ANN}/empty.jpg:0: zero-byte picture"]
    assert found["coverage"]["users_with_photos"] == pytest.approx(1 / (3 * PEOPLE))
    shown = survived(data, "model.photos=true")
    assert "photos: zero-byte picture (1)" in shown
    assert "1 of the users' photos cannot be used" in shown


def test_a_note_of_10_mb_is_cut_and_one_that_says_nothing_is_counted(data: Path) -> None:
    write_csv(data / "notes.csv", ("user", "text"), [(ANN, "alpine " * 1_500_000), (user("desert", 1), "\u2603")])
    shown = survived(data, "model.notes=true", "content.text.vocabulary=64")
    assert "notes.csv: text over 1 MB, cut (1)" in shown
    assert "1 of the users' notes cannot be used" in shown


@pytest.mark.parametrize("engine", ["cohort", "grid"])
def test_a_device_with_no_events_takes_part_and_gets_recommendations(data: Path, engine: str) -> None:
    write_csv(data / "users.csv", ("user",), [("newcomer",)])
    assert told("data", "inspect", data)["users_without_events"] == 1
    survived(data, f"run.engine={engine}")
    run = told(*simulate(data, f"run.engine={engine}", out="third"))
    assert run["data"]["users"] == run["secure_aggregation"]["survivors"] == 3 * PEOPLE + 1
    told("data", "stores", data, "--out", data.parent / "stores")
    store = data.parent / "stores" / f"{3 * PEOPLE:05d}.sqlite"
    with EventStore.open(store) as opened:
        assert opened.events("newcomer") == []
    found = told("recommend", data.parent / "third" / "model", "--store", store, "--user", "newcomer", "--top", "5")
    assert len(found["recommendations"]) == 5


def test_a_config_with_an_unknown_key_is_refused_before_the_data_are_read(data: Path) -> None:
    append(data.parent / "run.toml", "[privacy]", "epsilom = 8.0")
    shown = refused(2, *simulate(data))
    assert "privacy.epsilom: unknown key" in shown
    assert "Reading" not in shown
    assert not (data.parent / "out").exists()


def test_a_catalogue_without_pictures_goes_on_without_them(data: Path) -> None:
    shutil.rmtree(data / "images")
    assert "image: no item of the catalogue has it; the modality is left out" in survived(data)
    went_on = fedrec_run(*simulate(data, 'content.modalities=["image"]', out="images"))
    assert went_on.exit_code == 0, went_on.output
    assert "items are ranked by the private sums alone" in " ".join(went_on.output.split())


def test_interactions_alone_are_enough_to_rank_by_behaviour(tmp_path: Path, data: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    lines = [f"u{person}\ti{thing}" for person in range(8) for thing in range(4 + person % 2)]
    (alone / "alone.inter").write_text("\n".join(["user_id:token\titem_id:token", *lines]))
    behaviour = simulate(alone, "model.preset=behaviour-only", "run.engine=grid")
    consent = "--catalogue-from-interactions"
    assert consent in refused(3, *behaviour)
    run = told(*behaviour, consent)
    assert run["model"]["modalities"] == ["behaviour"]
    assert run["quality"]["loo-full"]["hr@10"] == 1.0
    went_on = fedrec_run(*simulate(alone, out="tower"), consent)
    assert went_on.exit_code == 0, went_on.output
    assert "items are ranked by the private sums alone" in " ".join(went_on.output.split())


def test_data_in_which_nobody_can_be_measured_leave_null_and_a_report(data: Path) -> None:
    (data / "loo_99neg.csv").unlink()
    write_csv(data / "interactions.csv", ("user", "item"), [("ann", "alpine-00"), ("bob", "alpine-01")])
    result = fedrec_run(*simulate(data))
    assert result.exit_code == 0, result.output
    run = told(*simulate(data, out="again"))
    assert run["quality"]["loo-99neg"]["hr@10"] is run["quality"]["coverage@10"] is None
    assert (data.parent / "again" / "report.html").stat().st_size > 0


def test_one_user_is_no_federation(data: Path) -> None:
    (data / "loo_99neg.csv").unlink()
    write_csv(data / "interactions.csv", ("user", "item"), [("ann", item("alpine", place)) for place in range(5)])
    assert "at least 2 users" in refused(3, *simulate(data))
    assert not (data.parent / "out" / "ledger.sqlite").exists()


ODD = ("a,b", 'say "hi"', "  spaces ", "\N{FAMILY}\N{SNOWMAN}", "ü/../x", "two\nlines", "=1+1", "..", "x" * 300,
       "<script>", "--help", "[red]")  # fmt: skip


def test_any_name_is_a_user(data: Path) -> None:
    (data / "loo_99neg.csv").unlink()
    events = [
        (who, item(taste, day), day) for who, taste in zip(ODD, list(TASTES) * 4, strict=True) for day in range(5)
    ]
    write_csv(data / "interactions.csv", ("user", "item", "timestamp"), events)
    write_csv(data / "notes.csv", ("user", "text"), [(who, f"I am {who}") for who in ODD])
    run = told(*simulate(data, "run.engine=grid", "model.notes=true"))
    assert (run["data"]["users"], run["data"]["skipped"]) == (len(ODD), 0)
    told("data", "stores", data, "--out", data.parent / "stores")
    for place, who in enumerate(ODD):
        store = data.parent / "stores" / f"{place:05d}.sqlite"
        words = ("recommend", data.parent / "out" / "model", "--store", store, f"--user={who}", "--top", "2")
        assert told(*words)["user"] == who
        assert fedrec_run(*words).exit_code == 0


def test_places_that_are_none_are_named(data: Path) -> None:
    file = data.parent / "file"
    file.write_text("here")
    for words in (simulate(data, out="file"), ("data", "stores", data, "--out", file)):
        result = fedrec_run(*words, "--json")
        assert result.exit_code == 2
        assert f"{file}' is a file" in json.loads(result.stdout)["error"]["what"]
    assert "below" in refused(11, *simulate(data, out="file/below"))
    assert file.read_text() == "here"
    for nothing in (file, data.parent / "absent"):
        assert nothing.name in refused(3, *simulate(nothing, out="nothing"))
        assert nothing.name in refused(3, "data", "inspect", nothing)
    assert fedrec_run(*simulate(data, out="deep/er/still")).exit_code == 0
