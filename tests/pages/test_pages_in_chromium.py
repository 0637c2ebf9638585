"""The pages in a real browser: clicked through, by keyboard too, wide and narrow, light and dark, without a word in
the console, and quick."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium_cases import SIZES, Looked, chromium, served
from pages_cases import Place, line, record, write_run

from fedrec.data.store import EventStore
from fedrec.pages.process import PageListener, device_listener, operator_listener

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator

pytestmark = pytest.mark.slow

# From a click to the list that was drawn anew, in milliseconds, as the page itself sees it.
TIMED = """
(button) => new Promise((done) => {
  const part = document.getElementById("part"), begun = performance.now();
  new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
  }).observe(part, { childList: true });
  button.click();
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


def address(listener: PageListener) -> str:
    return f"http://127.0.0.1:{listener.socket.getsockname()[1]}"


def looks_well(context: BrowserContext, addresses: list[str]) -> None:
    """Every page, wide and narrow, light and dark: no problem, no word in the console."""
    looked = Looked(context.new_page())
    for where in addresses:
        looked.page.goto(where)
        for width, height in SIZES:
            looked.page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                looked.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
                assert looked.problems() == [], (where, width, scheme)
    assert looked.said == []


DEFECTS = """
<h1>One</h1><h3>Three</h3><img src="data:,"><input type="text"><button></button><p style="color:#999">pale</p>
<svg width="9" height="9"></svg><div style="width:4000px">wide</div>
<p id="a"></p><p id="a"></p><table><tr><td>1</td></tr></table>
"""


def test_what_the_check_of_a_page_finds(context: BrowserContext) -> None:
    looked = Looked(context.new_page())
    looked.page.set_content(DEFECTS)
    found = "\n".join(looked.problems())
    kinds = ("no language", "no title", "landmark main", "skips a level", "no alt", "no label", "no name", "contrast")
    for kind in (*kinds, "wider than its window", "stands twice", "a table has no headings"):
        assert kind in found, kind


def test_the_operators_pages(context: BrowserContext, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    rounds = [line(n, quality={"loo-99neg": {"ndcg@10": n / 20}}) for n in range(1, 5)]
    excluded = line(5, excluded={"false dealing": 2}, aborted={"timeout": 1})
    write_run(runs / "ended", [*rounds, excluded], record(warnings=["delta is large"]))
    going = write_run(runs / "a-run-with-quite-a-long-name-that-goes-on-and-on", rounds[:2])
    listener = operator_listener(runs, 0)
    with served(listener):
        looked = Looked(context.new_page())
        page = looked.page
        page.goto(listener.link)
        assert "key" not in page.url
        page.get_by_role("link", name="a-run-with").click()
        assert page.locator("table.rounds tbody tr").count() == 2
        with (going / "events.jsonl").open("a") as file:
            file.write(json.dumps(rounds[2]) + "\n")
        page.locator("table.rounds tbody tr").nth(2).wait_for(timeout=10_000)  # by itself: the page follows the run
        page.go_back()
        for box in page.get_by_role("checkbox").all():
            box.focus()
            page.keyboard.press("Space")
        page.get_by_role("button", name="Compare").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/compare?*")
        compared = page.url
        assert page.get_by_text("Settings that differ").count() == 1
        assert looked.said == []
        start = address(listener)
        page.goto(start)
        ids = [link.get_attribute("href") or "" for link in page.locator(".run h2 a").all()]
        looks_well(context, [f"{start}/", *(f"{start}{id}" for id in ids), compared])


def test_a_devices_pages(context: BrowserContext, device_place: Place) -> None:
    listener = device_listener(device_place.store, device_place.release, device_place.items, 0)
    with EventStore.open(device_place.store) as store:
        [user] = store.users()
        before = len(store.events(user))
    with served(listener):
        looked = Looked(context.new_page())
        page = looked.page
        page.goto(listener.link)
        first = page.locator(".picks > li").first.get_attribute("data-item")
        page.locator(".picks > li button").first.focus()
        page.keyboard.press("Enter")
        page.locator(".move").first.wait_for()
        assert page.locator(".picks > li").first.get_attribute("data-item") != first
        assert "Added" in page.get_by_role("status").inner_text()
        page.get_by_label("A note to yourself").fill("a glowing felt lantern for the cabin")
        page.get_by_role("button", name="Keep the note").click()
        page.get_by_text("a glowing felt lantern").first.wait_for()
        picture = next((device_place.items / "images").glob("*.jpg"))
        page.get_by_label("A photo of something").set_input_files(picture)
        page.get_by_role("button", name="Keep the photo").click()
        page.get_by_text("Your photo counts now").wait_for()
        page.get_by_label("Search by words").fill("clock")
        page.keyboard.press("Enter")
        page.locator(".shelf li").first.wait_for()
        page.get_by_label("By a picture").set_input_files(picture)
        page.get_by_text("Found for “clock” and your picture").wait_for()
        page.locator(".shelf button").first.click()
        page.get_by_text("Added:").wait_for()
        assert looked.said == []
        start = address(listener)
        looks_well(context, [f"{start}/", f"{start}/did", f"{start}/gave", f"{start}/forget?user={user}"])
        page.get_by_role("link", name="Forget me").click()
        page.get_by_role("checkbox").check()
        page.get_by_role("button", name="Forget everything").click()
        page.get_by_text("Nothing of it is left").wait_for()
        page.get_by_role("link", name="Begin anew").click()
        assert page.get_by_text("knows nobody yet").count() == 1
        assert looked.said == []
    with EventStore.open(device_place.store) as store:
        assert before and store.users() == []


def test_the_list_changes_within_a_tenth_of_a_second(context: BrowserContext, device_place: Place) -> None:
    """From the click to the new list on the screen: the best of several, and where the machine has other work, by the
    processor time that the pages' process takes, which leaves the browser as much again."""
    listener = device_listener(device_place.store, device_place.release, device_place.items, 0)
    taken: dict[str, list[float]] = {"event": [], "note": [], "photo": []}
    worked: dict[str, list[float]] = {what: [] for what in taken}

    def time_it(what: str, button: Locator) -> None:
        begun = time.process_time()
        taken[what].append(button.evaluate(TIMED))
        worked[what].append(1000 * (time.process_time() - begun))

    with served(listener):
        page = context.new_page()
        page.goto(listener.link)
        pictures = sorted((device_place.items / "images").glob("*.jpg"))
        for number in range(5):
            time_it("event", page.locator(".picks > li button").first)
            page.get_by_label("A note to yourself").fill(f"something of felt and velvet, {number}")
            time_it("note", page.get_by_role("button", name="Keep the note"))
            page.get_by_label("A photo of something").set_input_files(pictures[number])
            time_it("photo", page.get_by_role("button", name="Keep the photo"))
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    for what, times in taken.items():
        print(f"{what}: {min(times):.0f} ms, of which {min(worked[what]):.0f} ms of processor time")
        assert min(worked[what]) <= 80 if busy else min(times) <= 100, (what, times, worked[what])
