"""A study says what it holds and had to leave out, and is told apart from any other; the terminal says it too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_cases import SMALL, append, item, user, write_csv, write_tastes

from fedrec.config import load
from fedrec.console import open_reporter
from fedrec.content.image_decode import FORMATS
from fedrec.content.left_out import NAMED
from fedrec.simulation.study import Study, prepare
from fedrec.simulation.summary import show_run

PEOPLE = 4
BROKEN = f"not a picture in {', '.join(FORMATS)}"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "run.toml").write_text(SMALL)
    return write_tastes(tmp_path / "tastes", PEOPLE)


def study_of(data: Path, *settings: str) -> Study:
    with open_reporter(silent=True) as reporter:
        return prepare(load(data.parent / "run.toml", settings), data, reporter)


def test_facts_are_counted(data: Path) -> None:
    append(data / "interactions.csv", "nobody,nothing,1,1", "nobody,nothing,1,2", "nobody,alpine-01,1,-1")
    write_csv(data / "notes.csv", ("user", "text"), [(user("alpine", 0), "alpine"), (user("alpine", 0), "\u2603")])
    for name in ("alpine-00", "desert-01"):
        (data / "images" / f"{name}.jpg").write_bytes(b"damaged")
    facts = study_of(data, "model.notes=true").facts()
    assert facts == {
        "name": "tastes",
        "users": 3 * PEOPLE,
        "items": 3 * PEOPLE,
        "interactions": 3 * PEOPLE * (PEOPLE - 1),
        "skipped": 3,
        "skipped_by_reason": {"interactions.csv: unknown item": 2, "interactions.csv: negative timestamp": 1},
        "content_problems": 2,
        "content_problems_first": [f"image of {name}: {BROKEN}" for name in ("alpine-00", "desert-01")],
        "unreadable_notes": 1,
        "unreadable_photos": 0,
    }
    assert len(facts["content_problems_first"]) <= NAMED


def add_event(data: Path) -> None:
    append(data / "interactions.csv", f'"{user("alpine", 0)}",{item("desert", 1)},4,5')


def add_user(data: Path) -> None:
    write_csv(data / "users.csv", ("user",), [("newcomer",)])


def add_item(data: Path) -> None:
    append(data / "items.csv", "new-01,New,alpine,Made for the alpine")


def rename_user(data: Path) -> None:
    for path in (data / "interactions.csv", data / "loo_99neg.csv"):
        path.write_text(path.read_text().replace(user("alpine", 0), "somebody else"))


def hold_out_another(data: Path) -> None:
    path = data / "loo_99neg.csv"
    path.write_text(path.read_text().replace(f'{user("alpine", 0)}",,', f'{user("alpine", 0)}",alpine-01,'))


@pytest.mark.parametrize("change", [add_event, add_user, add_item, rename_user, hold_out_another])
def test_whatever_devices_hold_otherwise_is_another_study(data: Path, change: Callable[[Path], None]) -> None:
    before = study_of(data).fingerprint()
    assert study_of(data, "run.seed=9", "training.rounds=7").fingerprint() == before
    change(data)
    assert study_of(data).fingerprint() != before


def test_notes_are_part_of_what_devices_hold_where_they_are_used(data: Path) -> None:
    bare = study_of(data, "model.notes=true").fingerprint()
    write_csv(data / "notes.csv", ("user", "text"), [(user("alpine", 0), "alpine boots")])
    assert study_of(data, "model.notes=true").fingerprint() != bare
    write_csv(data / "notes.csv", ("user", "text"), [(user("alpine", 1), "alpine boots")])
    assert study_of(data, "model.notes=true").fingerprint() != bare


def shown(capsys: pytest.CaptureFixture[str], **sections: Any) -> str:
    show_run(sections, Path("out"))
    return capsys.readouterr().out


def test_no_epsilon_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "unbounded: the server sees every contribution"
    privacy = {"epsilon_released": 7.996, "epsilon_server": None, "epsilon_server_reason": reason, "mechanism": "G"}
    text = shown(capsys, privacy=privacy)
    assert "epsilon, released model: 8.00\n" in text
    assert f"epsilon, server: none ({reason})\n" in text
    privacy = {"epsilon_released": None, "epsilon_server": None, "epsilon_server_reason": "unbounded: so it is"}
    text = shown(capsys, privacy=privacy)
    assert "epsilon, released model: none (unbounded: the run adds no noise)\n" in text
    assert "epsilon, server: none (unbounded: so it is)\n" in text
    assert "epsilon, released model: none (nothing is claimed)\n" in shown(capsys, privacy=None)


def test_what_a_device_sent_is_told_by_round_and_in_all(capsys: pytest.CaptureFixture[str]) -> None:
    sums = {"bytes_up_per_device_round": 716, "bytes_up_per_device_total": 2188}
    assert "Sent by a device: 716 B a round, 2.2 kB in the whole run\n" in shown(capsys, secure_aggregation=sums)


def test_what_was_left_out_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, data={"skipped": 1234, "content_problems": 2})
    assert "Left out on reading: 1,234 rows or parts of rows" in text
    assert "Problems with the catalogue's content: 2;" in text
    assert "Left out" not in shown(capsys, data={"skipped": 0, "content_problems": 0})
