"""The report holds what it was given, shows no figure that was not there, and lets no title become code."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fedrec.run_words import promises
from fedrec.simulation.report import charts
from fedrec.simulation.report import page as pages
from fedrec.simulation.report.build import build_report
from fedrec.simulation.report.pictures import ReportPictures

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}\x1b[2J\u202e"
NULLS: dict[str, Any] = {
    "schema": 1,
    "config": {"run": {"name": "nulls"}, "privacy": {"epsilon": None}},
    "data": {"name": None, "users": None, "items": None, "interactions": None},
    "model": {"preset": None, "modalities": None, "parameters_shared": None, "parameters_private": None},
    "quality": {"loo-99neg": {"hr@10": None, "ndcg@10": None}, "loo-full": None, "coverage@10": None},
    "privacy": dict.fromkeys(["unit", "delta", "epsilon_released", "epsilon_server", "accountant", "mechanism"]),
    "secure_aggregation": {"protocol": "none", "cohort": None, "bytes_up_per_device_round": None},
    "cost": {"rounds": None, "seconds": None},
}


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.words.append(data)


@pytest.fixture(autouse=True)
def _small_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for plotly's 4.5 MB; one test below uses the real one."""
    monkeypatch.setattr(pages, "plotly", lambda: "window.Plotly = {};")


def page_of(out: Path, **changes: Any) -> Page:
    given = {"run": NULLS, "rounds": [], "showcase": [], "baselines": {}, **changes}
    path = build_report(out, given["run"], given["rounds"], given["showcase"], given["baselines"])
    assert path == out / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def a_round(number: int, **changes: Any) -> dict[str, Any]:
    quality = {"loo-99neg": {"hr@10": 0.1 * number, "ndcg@10": 0.05 * number}}
    plain = {"round": number, "query": "training", "seconds": 1.5, "devices": 10, "bytes_up_per_device": 4000}
    return {**plain, "epsilon_spent": 0.5 * number, "loss": 2.0, "clipped": None, "quality": quality, **changes}


def chart_data(page: Page) -> dict[str, charts.Chart]:
    return {chart["id"]: chart for chart in json.loads(page.scripts[0])}


def a_picture(path: Path, shape: tuple[int, int] = (400, 200)) -> Path:
    Image.new("RGB", shape, (200, 30, 30)).save(path)
    return path


def a_person(image: Path | None, title: str = "Blue shirt") -> dict[str, Any]:
    item = {"item": "i1", "title": title, "image": None if image is None else str(image)}
    shares = {"text": 0.75, "image": 0.25, "behaviour": 0.0}
    pick = {**item, "rank": 1, "score": 1.5, "shares": shares, "nearest": title, "reason": f"Because of {title}"}
    return {"user": "u1", "history": [item], "recommendations": [pick]}


def test_figures_of_the_rounds_get_into_the_charts_and_their_tables(tmp_path: Path) -> None:
    run = {**NULLS, "config": {"privacy": {"epsilon": 3.0}}}
    baselines = {
        "popularity": {"hr@10": 0.31, "ndcg@10": 0.17},
        "random": {"hr@10": 0.1, "ndcg@10": 0.04},
        "oracle": None,
    }
    page = page_of(tmp_path, run=run, rounds=[a_round(1), a_round(2, quality=None), a_round(3)], baselines=baselines)
    found = chart_data(page)
    assert found["hr"]["x"] == [1, 3]
    assert found["hr"]["y"] == pytest.approx([0.1, 0.3])
    assert found["hr"]["levels"] == [{"name": "popularity", "value": 0.31}, {"name": "random", "value": 0.1}]
    assert found["epsilon"]["y"] == [0.5, 1.0, 1.5]
    assert found["epsilon"]["levels"] == [{"name": "budget", "value": 3.0}]
    assert found["bytes"]["y"] == [4000.0] * 3
    words = " ".join(page.words)
    assert "oracle" not in words
    for figure in ("0.31", "4000", "1.5"):
        assert figure in words
    plots = {attributes["id"] for tag, attributes in page.elements if tag == "div" and "id" in attributes}
    assert plots == {f"plot-{name}" for name in ("hr", "ndcg", "epsilon", "bytes", "seconds", "loss")}


def test_a_run_without_rounds_shows_its_final_quality(tmp_path: Path) -> None:
    run = {**NULLS, "quality": {"loo-99neg": {"hr@10": 0.4, "ndcg@10": 0.2}}}
    found = chart_data(page_of(tmp_path, run=run))
    assert (found["hr"]["y"], found["ndcg"]["y"]) == ([0.4], [0.2])


@pytest.mark.parametrize("run", [NULLS, {}, dict.fromkeys(NULLS)])
@pytest.mark.parametrize("rounds", [[], [{}], [dict.fromkeys(a_round(1))]])
def test_nulls_everywhere_are_dashes_and_never_figures(tmp_path: Path, run: Any, rounds: Any) -> None:
    person = {"user": None, "history": None, "recommendations": [dict.fromkeys(["rank", "item", "title", "shares"])]}
    nothing = dict.fromkeys(["popularity", "random", "oracle"])
    page = page_of(tmp_path, run=run, rounds=rounds, showcase=[person], baselines=nothing)
    assert all(chart["empty"] and chart["y"] == [] for chart in chart_data(page).values())
    assert not [attributes for tag, attributes in page.elements if (attributes.get("id") or "").startswith("plot-")]
    words = " ".join(page.words)
    assert "no figures" in words
    assert "None" not in words
    assert "nan" not in words.lower().split()


def test_figures_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    rounds = [a_round(1, loss=float("nan"), epsilon_spent=float("inf"), seconds="soon"), a_round(2)]
    found = chart_data(page_of(tmp_path, rounds=rounds))
    for name in ("loss", "epsilon", "seconds"):
        assert found[name]["x"] == [2]


def test_hostile_text_stays_text_wherever_it_stands(tmp_path: Path) -> None:
    run = {**NULLS, "config": {"run": {"name": HOSTILE}, HOSTILE: HOSTILE}, "data": {"name": HOSTILE}}
    run["privacy"] = {"mechanism": HOSTILE, "sampling": HOSTILE, "unit": HOSTILE, "accountant": HOSTILE}
    run["secure_aggregation"] = {"protocol": HOSTILE}
    person = {**a_person(None, HOSTILE), "user": HOSTILE}
    person["recommendations"][0]["shares"] = {HOSTILE: 0.5}
    page = page_of(tmp_path, run=run, rounds=[a_round(1, query=HOSTILE)], showcase=[person])
    assert len(page.scripts) == 3
    assert "<" not in page.scripts[0]
    assert [tag for tag, _ in page.elements if tag in {"img", "iframe", "object", "embed", "form"}] == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in " ".join(page.words)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{ 7*7 }}" in " ".join(page.words)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text())
def test_no_text_changes_the_elements_of_the_page(tmp_path: Path, title: str, name: str) -> None:
    def elements(title: str, name: str) -> list[str]:
        run = {**NULLS, "config": {"run": {"name": name}}}
        return [tag for tag, _ in page_of(tmp_path, run=run, showcase=[a_person(None, title)]).elements]

    assert elements(title, name) == elements("plain", "plain")


def test_only_the_two_scripts_may_run_and_nothing_is_fetched(tmp_path: Path) -> None:
    page = page_of(tmp_path, rounds=[a_round(1)], showcase=[a_person(a_picture(tmp_path / "p.jpg"))])
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy or ""))
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.scripts[1:]}
    assert allowed == hashes
    assert len(hashes) == 2
    assert "default-src 'none'" in (policy or "")
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)


def test_the_real_plotly_is_inlined_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    page = page_of(tmp_path, rounds=[a_round(1)])
    assert len(page.scripts) == 3
    assert page.scripts[1] == pages.plotly()
    assert len(page.scripts[1]) > 500_000


def test_pictures_are_small_jpegs_made_anew(tmp_path: Path) -> None:
    page = page_of(tmp_path, showcase=[a_person(a_picture(tmp_path / "p.png", (900, 450)))])
    sources = [a["src"] for tag, a in page.elements if tag == "img"]
    assert len(sources) == 2
    assert sources[0] is not None
    with Image.open(io.BytesIO(base64.b64decode(sources[0].split(",")[1]))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (180, 90))


@pytest.mark.parametrize("content", [b"", b"not a picture", b"<svg onload='alert(1)'/>", b"\xff\xd8\xff\xe0cut"])
def test_a_bad_picture_is_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.jpg").write_bytes(content)
    assert ReportPictures().uri(tmp_path / "p.jpg") is None
    assert ReportPictures().uri(tmp_path / "absent.jpg") is None
    assert ReportPictures().uri(tmp_path) is None
    page = page_of(tmp_path, showcase=[a_person(tmp_path / "p.jpg")])
    assert [tag for tag, _ in page.elements if tag == "img"] == []


def test_nothing_of_a_photo_but_its_picture_gets_into_the_report(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.new("RGB", (20, 20)).save(tmp_path / "p.jpg", exif=exif, comment=b"a secret remark")
    uri = ReportPictures().uri(tmp_path / "p.jpg")
    assert uri is not None
    data = base64.b64decode(uri.split(",")[1])
    assert b"taken at home" not in data
    assert b"secret remark" not in data


def test_a_cut_picture_is_no_picture(tmp_path: Path) -> None:
    path = a_picture(tmp_path / "p.jpg")
    path.write_bytes(path.read_bytes()[:-200])
    assert ReportPictures().uri(path) is None


def test_an_oversized_picture_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedrec.content.image_decode.MOST_PIXELS", 100 * 100)
    assert ReportPictures().uri(a_picture(tmp_path / "p.png", (101, 100))) is None
    assert ReportPictures().uri(a_picture(tmp_path / "q.png", (100, 100))) is not None


def test_shares_are_percent_the_largest_first_and_a_long_history_says_so(tmp_path: Path) -> None:
    person = a_person(None)
    person["history"] = [{"item": f"i{n}", "title": f"Title {n}", "image": None} for n in range(40)]
    page = page_of(tmp_path, showcase=[person])
    words = [word.strip() for word in page.words if word.strip()]
    assert words[words.index("text") + 1] == "75%"
    assert words[words.index("image") + 1] == "25%"
    assert words.index("text") < words.index("image")
    assert "behaviour" not in words
    assert "Title 39" in words
    assert "Title 15" not in words
    assert any("the last 24 of 40" in word for word in words)


def test_every_figure_has_a_heading_and_every_picture_an_alternative(tmp_path: Path) -> None:
    page = page_of(tmp_path, rounds=[a_round(1)], showcase=[a_person(a_picture(tmp_path / "p.jpg"))])
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    labels = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert labels
    assert set(labels) <= ids
    assert len(ids) == len([1 for _, attributes in page.elements if "id" in attributes])
    assert all("alt" in attributes for tag, attributes in page.elements if tag == "img")
    assert ("html", {"lang": "en"}) in page.elements


def test_promises_say_what_the_figures_mean() -> None:
    run = {
        "privacy": {"unit": "user", "delta": 0.001, "epsilon_released": 1.0, "epsilon_server": None},
        "secure_aggregation": {"protocol": "none"},
    }
    said = dict(promises(run))
    assert "factor of at most 2.72" in said["Who gets the model"]
    assert "1 in 1,000" in said["Who gets the model"]
    assert "sees what each device sends" in said["The server"]
    assert "no promise" in said["The server"]


def test_promises_of_a_run_without_noise_are_none() -> None:
    said = dict(promises({"privacy": {"unit": "user", "epsilon_released": None, "epsilon_server": None}}))
    assert said["Who gets the model"].startswith("No promise")
    assert "factor" not in " ".join(said.values())


def test_a_huge_epsilon_is_called_empty() -> None:
    said = dict(promises({"privacy": {"unit": "example", "epsilon_released": 80.0}}))
    assert "empty" in said["Who gets the model"]
    assert "interaction" in said["Who gets the model"]


def test_what_was_spent_is_drawn_in_the_order_of_the_requests(tmp_path: Path) -> None:
    # Every query counts its own rounds from 0: drawn by those, the line would go back and forth.
    asked = [("popularity", 0, 3.2), ("directions", 1, 4.1), ("factors", 0, 7.7), ("selection", 0, 8.0)]
    rounds = [a_round(number, query=query, epsilon_spent=spent, quality=None) for query, number, spent in asked]
    found = chart_data(page_of(tmp_path, rounds=rounds))
    for name in ("epsilon", "bytes", "seconds"):
        assert (found[name]["axis"], found[name]["x"]) == ("request", [1, 2, 3, 4]), name
    assert found["epsilon"]["y"] == sorted(found["epsilon"]["y"])


def test_warnings_stand_before_everything_else(tmp_path: Path) -> None:
    run = {**NULLS, "warnings": ["two users are a crowd for nobody"]}
    words = [word.strip() for word in page_of(tmp_path, run=run).words if word.strip()]
    assert words.index("Warning: two users are a crowd for nobody.") < words.index("HR@10")
    assert words.index("Warning: two users are a crowd for nobody.") < words.index("Skip to the content")


def test_a_recommendation_says_which_events_speak_and_what_their_content_gave(tmp_path: Path) -> None:
    person = a_person(None)
    person["recommendations"][0]["events"] = [
        {"title": "Red shirt", "share": 0.41, "alike": {"text": 0.617, "image": -0.2}},
        {"title": HOSTILE, "share": 0.2, "alike": {}},
    ]
    page = page_of(tmp_path, showcase=[person])
    words = " ".join(page.words)
    assert "Red shirt says 41%; content alike: image -0.20, text 0.62" in words
    assert "says 20%" in words
    assert len(page.scripts) == 3
