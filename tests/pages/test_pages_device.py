"""A person at a device sees what it knows, adds to it, and is forgotten; a page of somebody else can do none of it."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pages_cases import HOSTILE, PORT, Place, stranger, visitor
from PIL import Image

from fedrec.client.ranker import recommend
from fedrec.data.schema import Note
from fedrec.data.store import EventStore
from fedrec.errors import ReleaseError
from fedrec.pages.device import device_pages
from fedrec.pages.device_desk import DeviceDesk
from fedrec.pages.gate import FORM_FIELD, Gate
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import DeviceLedger

PART = {"X-Part": "1"}


class Owner:
    """A device's pages and a browser that has opened them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.gate = Gate("device", PORT)
        self.app: FastAPI = device_pages(DeviceDesk(place.store, place.release, place.items), self.gate)
        self.client: TestClient = visitor(self.app, self.gate)
        with EventStore.open(place.store) as store:
            [self.user] = store.users()

    def post(self, path: str, /, files: dict[str, tuple[str, bytes]] | None = None, **fields: str) -> str:
        data = {FORM_FIELD: self.gate.form_token, "user": self.user, **fields}
        answer = self.client.post(path, data=data, files=files, headers=PART)
        assert answer.status_code == 200, answer.text
        return answer.text

    def listed(self, page: str) -> list[str]:
        return re.findall(r'data-item="([^"]+)"', page)


@pytest.fixture
def owner(device_place: Place) -> Owner:
    return Owner(device_place)


def picture_bytes(color: str = "red") -> bytes:
    file = io.BytesIO()
    image = Image.new("RGB", (640, 480), color)
    exif = image.getexif()
    exif[0x010F] = "SECRET CAMERA"
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_the_first_page_ranks_as_the_device_does_and_says_why(owner: Owner) -> None:
    page = owner.client.get("/").text
    expected = recommend(owner.place.release, owner.place.store, owner.user, 12)
    assert owner.listed(page) == [one.item for one in expected]
    for one in expected:
        assert html.escape(one.reason) in page and html.escape(one.title) in page
    with EventStore.open(owner.place.store) as store:
        assert f"{len(store.events(owner.user))} in all" in page
        assert html.escape(store.notes(owner.user)[0].text[:80]) in page
    assert page.count('src="/picture/') >= 12 and 'src="/photo?' in page


def test_an_event_a_note_and_a_photo_change_the_list_at_once_and_stay(owner: Owner) -> None:
    first = owner.listed(owner.client.get("/").text)
    after = owner.post("/events", item=first[0])
    assert first[0] not in owner.listed(after) and "Added: " in after and 'class="move"' in after
    noted = owner.post("/notes", text="Looking for a felt lamp, a lantern, anything that glows")
    assert owner.listed(noted) != owner.listed(after)
    shown = owner.post("/photos", files={"photo": ("lamp.jpg", picture_bytes())})
    assert owner.listed(shown) != owner.listed(noted)
    assert owner.listed(owner.client.get("/").text) == owner.listed(shown)
    with EventStore.open(owner.place.store) as store:
        assert store.events(owner.user)[-1].item == first[0]
        assert store.photos(owner.user)[-1].data == picture_bytes()


def test_without_the_script_every_form_still_works(owner: Owner) -> None:
    first = owner.listed(owner.client.get("/").text)
    data = {FORM_FIELD: owner.gate.form_token, "user": owner.user, "item": first[0]}
    answer = owner.client.post("/events", data=data)
    assert answer.status_code == 200 and answer.request.method == "GET"
    assert first[0] not in owner.listed(answer.text) and "<html" in answer.text
    found = owner.client.post("/search", data={FORM_FIELD: owner.gate.form_token, "query": "clock"})
    assert "<h1>Search" in found.text and "clock" in found.text


def test_search_by_words_by_a_picture_and_with_taste(owner: Owner) -> None:
    item, title = next((item, title) for item, title in _titles(owner) if "lamp" in title)
    assert html.escape(title) in owner.post("/search", query=title)
    picture = (owner.place.items / "images" / f"{item}.jpg").read_bytes()
    by_picture = owner.post("/search", files={"picture": ("x.jpg", picture)}, query="")
    assert f"/picture/{item}" in by_picture
    plain, mixed = owner.post("/search", query="lamp"), owner.post("/search", query="lamp", mixed="1")
    assert plain != mixed and "lamp" in mixed
    with EventStore.open(owner.place.store) as store:
        kept = [note.text for note in store.notes(owner.user)]
    assert title not in kept


def test_a_device_of_several_shows_whom_it_is_asked_for(owner: Owner) -> None:
    with EventStore.open(owner.place.store) as store:
        store.add_note("Zoe & co", Note("a lamp, a lantern"))
    assert "Zoe &amp; co</option>" in owner.client.get("/").text
    other = owner.client.get("/", params={"user": "Zoe & co"}).text
    expected = recommend(owner.place.release, owner.place.store, "Zoe & co", 12)
    assert owner.listed(other) == [one.item for one in expected]
    for path in ("/", "/did", "/forget", "/photo"):
        assert owner.client.get(path, params={"user": "nobody", "name": "x"}).status_code == 400, path
    data = {FORM_FIELD: owner.gate.form_token, "user": "Zoe & co", "sure": "yes"}
    owner.client.post("/forget", data=data)
    with EventStore.open(owner.place.store) as store:
        assert store.users() == [owner.user]


def test_what_left_and_the_budget(owner: Owner) -> None:
    assert "Nothing has left this device" in owner.client.get("/gave").text
    with EventStore.open(owner.place.store) as store, store.transaction(durable=True):
        agreement = Agreement("a" * 64, 8.0, 1e-5)
        DeviceLedger(store).charge_shared(agreement, QueryCost("popularity", 4.0), run="7", query="popularity", round=0)
    page = owner.client.get("/gave").text
    assert "how much each item is used" in page and "this device and others together" in page
    data = {FORM_FIELD: owner.gate.form_token, "epsilon": "4"}
    assert "of 4.00" in owner.client.post("/budget", data=data).text
    for wrong in ("-1", "nan", "inf", "much", ""):
        answer = owner.client.post("/budget", data={**data, "epsilon": wrong})
        assert answer.status_code == (200 if wrong == "" else 400)


def test_forgetting_asks_first_and_leaves_nothing(owner: Owner) -> None:
    secret = "a wish that nobody shall read"
    with EventStore.open(owner.place.store) as store:
        store.add_note(owner.user, Note(secret))
    data = {FORM_FIELD: owner.gate.form_token, "user": owner.user}
    assert "cannot be undone" in owner.client.get("/forget", params={"user": owner.user}).text
    assert "Tick the box first" in owner.client.post("/forget", data=data).text
    with EventStore.open(owner.place.store) as store:
        assert store.users() == [owner.user]
    assert "Nothing of it is left" in owner.client.post("/forget", data={**data, "sure": "yes"}).text
    with EventStore.open(owner.place.store) as store:
        assert store.users() == []
    assert secret.encode() not in owner.place.store.read_bytes()
    assert "knows nobody yet" in owner.client.get("/").text
    item = owner.listed(owner.client.get("/").text)[0]
    begun = owner.client.post("/events", data={FORM_FIELD: owner.gate.form_token, "item": item})
    assert "1 in all" in begun.text


def test_what_a_person_did_page_after_page(owner: Owner) -> None:
    with EventStore.open(owner.place.store) as store:
        for number in range(30):
            store.add_note(owner.user, Note(f"thought {number}", 1_700_000_000 + number))
    page = owner.client.get("/did").text
    assert "Older" in page and "1 of " in page
    second = owner.client.get("/did", params={"user": owner.user, "number": 2}).text
    assert "Newer" in second and page != second
    assert owner.client.get("/did", params={"number": 99}).status_code == 400


def test_pictures_are_made_anew_and_found_by_name_only(owner: Owner) -> None:
    owner.post("/photos", files={"photo": ("mine.jpg", picture_bytes())})
    with EventStore.open(owner.place.store) as store:
        name = store.photos(owner.user)[-1].name
    answer = owner.client.get("/photo", params={"user": owner.user, "name": name})
    assert answer.headers["content-type"] == "image/jpeg" and answer.headers["x-content-type-options"] == "nosniff"
    assert b"SECRET CAMERA" in picture_bytes() and b"SECRET CAMERA" not in answer.content
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 180
    item = owner.listed(owner.client.get("/").text)[0]
    assert owner.client.get(f"/picture/{item}").status_code == 200
    for wrong in ("..", "%2e%2e%2fitems.csv", f"{item}.jpg", "../images/" + item, "%00", "/etc/passwd", item + "%00"):
        answer = owner.client.get(f"/picture/{wrong}")
        assert answer.headers["content-type"] != "image/jpeg"
    for user, photo in (("nobody", name), (owner.user, "../" + name), (owner.user, ""), (owner.user, "0")):
        assert owner.client.get("/photo", params={"user": user, "name": photo}).status_code in (400, 404)


def test_what_another_site_sends_is_refused(owner: Owner) -> None:
    item = owner.listed(owner.client.get("/").text)[0]
    before = owner.place.store.read_bytes()
    good = {
        FORM_FIELD: owner.gate.form_token,
        "user": owner.user,
        "item": item,
        "sure": "yes",
        "text": "x",
        "query": "x",
    }
    bad = {**good, FORM_FIELD: "x" * 43}
    for path in ("/events", "/notes", "/photos", "/search", "/budget", "/forget"):
        assert owner.client.post(path, data=bad).status_code == 403, path
        assert owner.client.post(path, data={**good, FORM_FIELD: ""}).status_code == 403, path
        for header in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            assert owner.client.post(path, data=good, headers=header).status_code == 403, (path, header)
        assert stranger(owner.app).post(path, data=good).status_code == 401, path
        assert owner.client.get(path).status_code in (405, 422), path
    assert stranger(owner.app).get("/").status_code == 401
    assert owner.place.store.read_bytes() == before


def test_what_cannot_be_is_said_and_changes_nothing(owner: Owner) -> None:
    first = owner.listed(owner.client.get("/").text)
    data = {FORM_FIELD: owner.gate.form_token, "user": owner.user}
    attempts: list[tuple[str, dict[str, str], bytes | None]] = [
        ("/events", {"item": "no-such-item"}, None),
        ("/events", {"item": ""}, None),
        ("/events", {"item": first[0], "user": "somebody else"}, None),
        ("/notes", {"text": "   "}, None),
        ("/photos", {}, b"no picture at all"),
        ("/photos", {}, b""),
        ("/search", {"query": "qqzzxx"}, None),
        ("/search", {"query": ""}, None),
    ]
    for path, fields, file in attempts:
        files = None if file is None else {"photo": ("x.jpg", file)}
        answer = owner.client.post(path, data={**data, **fields}, files=files)
        assert answer.status_code == 400 and "Traceback" not in answer.text, (path, fields)
    large = owner.client.post("/photos", data=data, files={"photo": ("x.jpg", b"0" * (17 << 20))})
    assert large.status_code == 413
    assert owner.listed(owner.client.get("/").text) == first


def test_no_text_of_a_persons_own_becomes_code(owner: Owner) -> None:
    page = owner.post("/notes", text=HOSTILE)
    owner.post("/photos", files={"photo": ("x.jpg", picture_bytes("blue"))})
    for text in (page, owner.client.get("/").text, owner.client.get("/did").text):
        assert "<script>alert" not in text and "<img src=x" not in text and "\u202e" not in text


def test_another_publishers_release_is_refused(device_place: Place, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("00" * 32)
    with pytest.raises(ReleaseError):
        DeviceDesk(device_place.store, device_place.release, trusted_key=key)


def _titles(owner: Owner) -> list[tuple[str, str]]:
    desk = DeviceDesk(owner.place.store, owner.place.release)
    return list(desk.titles.items())
