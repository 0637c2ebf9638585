"""The report in a real browser: nothing overflows on a phone, words stay whole, colours and ticks are told apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedrec.simulation.report.build import build_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

QUERIES = ("popularity", "directions", "factors", "selection", "metrics", "census")
RUN: dict[str, Any] = {
    "config": {"run": {"name": "seen"}, "collaborative": {"power_iteration": {"denoising": "content"}}},
    "data": {"interactions": 8942, "content_problems_first": None, "name": "a" * 70},
    "warnings": ["the model does not beat popularity"],
    "quality": {
        "loo-99neg": {"hr@10": 0.77812, "ndcg@10": 0.48},
        "groups": {
            "a": {"rule": "users with at most 10 training events", "users": 161, "hr@10": 0.876, "ndcg@10": 0.6}
        },
    },
}
ROUNDS = [
    {"round": 0, "query": query, "seconds": 1.0, "bytes_up_per_device": 4000, "epsilon_spent": 1.0 + place}
    for place, query in enumerate(QUERIES)
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_the_report_can_be_read_on_a_phone(browser: Any, tmp_path: Path) -> None:
    width = 390
    path = build_report(tmp_path, RUN, ROUNDS, [], {})
    problems: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark")
    page.on("console", lambda one: problems.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda one: problems.append(str(one)))
    page.goto(path.as_uri())
    page.wait_for_selector("#plot-epsilon .xtick")
    assert problems == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Every fact and setting has room: its value is neither beside the card nor a letter wide.
    for one in page.locator(".facts td").all():
        box = one.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["width"] > 60
    # A figure is in one line.
    for one in page.locator("td.number").all():
        lines = (
            "cell => { const all = document.createRange(); all.selectNodeContents(cell); "
            "return all.getClientRects().length; }"
        )
        assert one.evaluate(lines) <= 1
    # Ticks do not repeat, and go up.
    ticks = [int(text) for text in page.locator("#plot-epsilon .xtick text").all_text_contents()]
    assert ticks == [1, 2, 3, 4, 5, 6]
    # No two queries of one colour.
    bars = page.eval_on_selector_all("#plot-bytes .bars path", "found => found.map(one => getComputedStyle(one).fill)")
    assert len(set(bars)) == len(bars) == len(QUERIES)
    page.close()
