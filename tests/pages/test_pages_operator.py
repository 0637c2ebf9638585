"""An operator sees runs as their files say, whatever state they are in, and can change nothing."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pages_cases import HOSTILE, PORT, line, record, visitor, write_run

from fedrec.pages.chart import draw
from fedrec.pages.compare import compared
from fedrec.pages.gate import Gate
from fedrec.pages.operator import operator_pages
from fedrec.pages.run_files import find_runs, read_run_files
from fedrec.pages.run_view import epsilon_of, rows_of, tiles_of, warnings_of


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "ended", [line(n) for n in range(1, 5)], record())
    write_run(tmp_path / "going" / "on", [line(1), line(2, excluded={"false dealing": 2})])
    return tmp_path


def look(root: Path) -> TestClient:
    gate = Gate("operator", PORT)
    return visitor(operator_pages(root, gate), gate)


def id_of(root: Path, name: str) -> str:
    return next(run.id for run in find_runs(root).values() if run.name == name)


def test_the_list_has_every_run_and_its_state(runs: Path) -> None:
    page = look(runs).get("/").text
    assert re.search(r'class="state running"', page) and re.search(r'class="state ended"', page)
    assert "data-live" in page
    assert {run.name for run in find_runs(runs).values()} == {"ended", "going/on"}


def test_one_run_has_its_figures_and_warnings_come_first(runs: Path) -> None:
    page = look(runs).get(f"/run/{id_of(runs, 'ended')}").text
    assert page.index("no protection") < page.index("Epsilon, released model") < page.index("Sum by sum")
    for said in (
        "2.00",
        "of 8.00",
        "the server sees every contribution",
        "0.250",
        "0.500",
        "of 60 asked",
        "genres=War",
    ):
        assert said in page, said
    assert "data-live" not in page


def test_a_run_that_goes_on_shows_what_is_there_and_what_comes(runs: Path) -> None:
    client, id = look(runs), id_of(runs, "going/on")
    page = client.get(f"/run/{id}").text
    assert "data-live" in page and "2 devices left out of the run: false dealing" in page
    assert "of 8.00" in page  # the budget is the ledger's: there is no record yet
    with (runs / "going" / "on" / "events.jsonl").open("a") as file:
        file.write(json.dumps(line(3)) + "\n" + '{"round": 4, "quer')
    part = client.get(f"/run/{id}", headers={"X-Part": "1"}).text
    assert "3 sums" in part and "<html" not in part


def test_the_states_of_a_run(tmp_path: Path) -> None:
    lines = [line(n) for n in range(1, 5)]

    def state(name: str, *, age: float, record_age: float | None, count: int = 4) -> str:
        place = write_run(tmp_path / name, lines[:count], None if record_age is None else record())
        now = time.time()
        os.utime(place / "events.jsonl", (now - age, now - age))
        if record_age is not None:
            os.utime(place / "run.json", (now - record_age, now - record_age))
        return read_run_files(place).state

    assert state("ended", age=50, record_age=50) == "ended"
    assert state("copied", age=1, record_age=90) == "ended"
    assert state("begun-anew", age=1, record_age=90, count=1) == "running"
    assert state("running", age=5, record_age=None) == "running"
    assert state("cut-off", age=3600, record_age=None) == "silent"
    stopped = write_run(tmp_path / "stopped", lines, record(stopped="the budget is spent"))
    assert read_run_files(stopped).state == "ended early"
    assert "The run ended early: the budget is spent" in warnings_of(read_run_files(stopped))


def test_files_that_are_damaged_or_of_another_version_are_never_an_error(tmp_path: Path) -> None:
    nulls = dict.fromkeys(record())
    for number, text in enumerate(("{", "[]", "null", json.dumps(nulls), json.dumps({"privacy": 3, "quality": "x"}))):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "run.json").write_text(text)
        (place / "events.jsonl").write_text('{}\nnot json\n[1]\n{"round": "x", "devices": null, "query": 7}\n')
        (place / "ledger.sqlite").write_bytes(b"no database" * 100)
    client = look(tmp_path)
    assert client.get("/").status_code == 200
    for run in find_runs(tmp_path).values():
        page = client.get(f"/run/{run.id}")
        assert page.status_code == 200, run
        assert "2 lines of events.jsonl cannot be read" in page.text
    ids = [run.id for run in find_runs(tmp_path).values()]
    assert client.get("/compare", params={"run": ids}).status_code == 200


def test_failed_sums_and_devices_that_were_left_out_are_told(tmp_path: Path) -> None:
    lines = [line(1), line(2, reason="aggregation-failed", devices=0, aborted={"timeout": 3})]
    files = read_run_files(write_run(tmp_path / "run", lines))
    assert any("1 sum could not be opened" in said for said in warnings_of(files))
    assert [row.bad for row in rows_of(files)] == [True, False]
    assert rows_of(files)[0].aborted == "timeout 3"
    tiles = {tile.name: tile for tile in tiles_of(files)}
    assert tiles["Survivors, last sum"].value == "57"  # of the last sum that was opened
    assert epsilon_of(files) == (1.0, None, 8.0)


def test_no_title_becomes_code(tmp_path: Path) -> None:
    place = write_run(tmp_path / "run", [line(1, query=HOSTILE)], record(warnings=[HOSTILE], about=HOSTILE))
    page = look(tmp_path).get(f"/run/{id_of(tmp_path, place.name)}").text
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "{{ 7*7 }}" in page and "\u202e" not in page


def test_runs_side_by_side_have_what_differs_and_the_best_is_marked(tmp_path: Path) -> None:
    better = record(quality={"loo-99neg": {"hr@10": 0.6, "ndcg@10": 0.2}}, config={"training": {"rounds": 9}})
    write_run(tmp_path / "a", [line(1)], record())
    write_run(tmp_path / "b", [line(1), line(2)], better)
    groups = compared([read_run_files(tmp_path / name) for name in ("a", "b")])
    rows = {row.name: row for group in groups for row in group.rows}
    assert rows["HR@10"].best == {1} and rows["NDCG@10"].best == {0}
    assert rows["training.rounds"].values == ("4", "9")
    assert rows["sent by a device"].best == {0}
    assert "run.name" in rows and "epsilon, released model" in rows and not rows["epsilon, released model"].best
    ids = [id_of(tmp_path, "a"), id_of(tmp_path, "b")]
    page = look(tmp_path).get("/compare", params={"run": ids}).text
    assert "Settings that differ" in page and "training" in page
    assert "Tick two runs" in look(tmp_path).get("/compare", params={"run": ids[:1]}).text


def test_a_report_is_shown_where_it_can_read_no_page(tmp_path: Path) -> None:
    place = write_run(tmp_path / "run", [line(1)], record())
    client, id = look(tmp_path), id_of(tmp_path, "run")
    assert client.get(f"/run/{id}/report").status_code == 404
    (place / "report.html").write_text("<script>top.document</script>")
    answer = client.get(f"/run/{id}/report")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;") and "allow-same-origin" not in policy
    (place / "report.html").unlink()
    (tmp_path / "secret").write_text("secret")
    (place / "report.html").symlink_to(tmp_path / "secret")
    assert client.get(f"/run/{id}/report").status_code == 404


def test_a_chart_has_its_marks_in_the_frame() -> None:
    drawn = draw("x", "X", [(0.0, "none"), (7.3, "much"), (2.0, "some")], level=(8.0, "budget"))
    assert drawn is not None
    assert [mark.text for mark in drawn.marks] == ["none", "much", "some"]
    assert all(0 <= mark.x <= 480 and 0 <= mark.y <= 160 for mark in drawn.marks)
    assert drawn.marks[1].y < drawn.marks[2].y < drawn.marks[0].y
    assert drawn.level is not None and drawn.level[0] <= drawn.marks[1].y
    assert [text for _, text in drawn.ticks] == ["0", "2", "4", "6", "8"]
    assert draw("x", "X", []) is None
    zeros = draw("x", "X", [(0.0, "a")], bars=True)
    assert zeros is not None and zeros.marks[0].height == 0
