"""Pages open for whoever has the link, once; every other way in is tried here and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pages_cases import PORT, TOKEN, line, record, stranger, visitor, write_run

from fedrec.errors import ConfigError
from fedrec.pages.gate import Gate
from fedrec.pages.operator import operator_pages
from fedrec.pages.process import operator_listener
from fedrec.pages.run_files import find_runs

Attempt = Callable[[TestClient, Gate, str], int]


@pytest.fixture
def gate() -> Gate:
    return Gate("operator", PORT, TOKEN)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    write_run(runs / "one", [line(1)], record())
    write_run(tmp_path / "elsewhere", [line(1)], record(warnings=["SECRET"]))
    (runs / "way-out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "run.json").write_text('{"warnings": ["SECRET"]}')
    return runs


@pytest.fixture
def app(root: Path, gate: Gate) -> FastAPI:
    return operator_pages(root, gate)


def get(path: str, **headers: str) -> Attempt:
    return lambda client, gate, id: client.get(path.replace("ID", id), headers=headers).status_code


def cookie(value: Callable[[Gate], str], name: Callable[[Gate], str] = lambda gate: gate.cookie) -> Attempt:
    def attempt(client: TestClient, gate: Gate, id: str) -> int:
        return client.get("/", headers={"cookie": f"{name(gate)}={value(gate)}"}).status_code

    return attempt


# What somebody without the link tries: tokens.
TOKENS: dict[str, Attempt] = {
    "no token": get("/"),
    "a run without a token": get("/run/ID"),
    "a comparison without a token": get("/compare?run=ID"),
    "a report without a token": get("/run/ID/report"),
    "an empty key": get("/open?key="),
    "no key": get("/open"),
    "a wrong key": get("/open?key=" + "A" * 43),
    "a key of other letters": get("/open?key=%C3%A9%00%FF"),
    "an empty bearer": get("/", authorization="Bearer "),
    "a wrong bearer": get("/", authorization="Bearer " + "x" * len(TOKEN)),
    "the beginning of the token": get("/", authorization=f"Bearer {TOKEN[:-1]}"),
    "the token and more": get("/", authorization=f"Bearer {TOKEN}x"),
    "another scheme": get("/", authorization=f"Basic {TOKEN}"),
    "the token in the address": get(f"/?token={TOKEN}&key={TOKEN}"),
    "an empty cookie": cookie(lambda gate: ""),
    "the token as a cookie": cookie(lambda gate: TOKEN),
    "the form's token as a cookie": cookie(lambda gate: gate.form_token),
    "a cookie of other pages": cookie(lambda gate: "x", lambda gate: f"fedrec-device-{PORT}"),
    "static, to climb out of": get("/static/..%2f..%2fgate.py"),
    "a static name that is none": get("/static/gate.py"),
}
# What somebody with the link tries: ids of runs that are not theirs to see.
IDS = [
    "..",
    "%2e%2e",
    "..%2f",
    "..%2felsewhere",
    "....//",
    "%2fetc%2fpasswd",
    "one",
    "one%00",
    "way-out",
    ".",
    "%252e%252e%252felsewhere",
    "0" * 16,
    "a" * 5000,
    "%F0%9F%92%A9",
    "' OR 1=1 --",
    "*",
]


def test_the_attempts_are_twenty_and_more() -> None:
    assert len(TOKENS) >= 20 and len(IDS) >= 15


@pytest.mark.parametrize("name", TOKENS)
def test_without_the_link_nothing_opens(name: str, app: FastAPI, gate: Gate, root: Path) -> None:
    [id] = find_runs(root)
    assert TOKENS[name](stranger(app), gate, id) in (401, 404)
    assert visitor(app, gate).get(f"/run/{id}").status_code == 200  # with it, everything does


@pytest.mark.parametrize("id", IDS)
def test_an_id_is_looked_up_and_never_a_path(id: str, app: FastAPI, gate: Gate) -> None:
    client = visitor(app, gate)
    for path in (f"/run/{id}", f"/run/{id}/report", f"/compare?run={id}"):
        answer = client.get(path)
        # A path that the client itself shortens ends at the list.
        assert "SECRET" not in answer.text and (answer.status_code == 404 or "<h1>Runs" in answer.text)


def test_the_link_opens_once_and_the_token_always(app: FastAPI, gate: Gate) -> None:
    link = gate.link
    first = stranger(app)
    answer = first.get(link)
    set_cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in set_cookie and "samesite=strict" in set_cookie and answer.headers["location"] == "/"
    assert first.get("/").status_code == 200
    assert stranger(app).get(link).status_code == 401
    assert "key" not in gate.link
    assert stranger(app).get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert stranger(operator_pages(Path(), Gate("operator", PORT))).get("/").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"evil.example:{PORT}", ""])
def test_another_host_is_not_answered_even_with_the_cookie(host: str, app: FastAPI, gate: Gate) -> None:
    client = visitor(app, gate)
    assert client.get("/", headers={"host": host}).status_code == 421
    assert client.get("/static/pages.css", headers={"host": host}).status_code == 421
    assert client.get("/", headers={"host": f"localhost:{PORT}"}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(method: str, app: FastAPI, gate: Gate) -> None:
    assert visitor(app, gate).request(method, "/").status_code == 405


def test_every_answer_carries_the_headers(app: FastAPI, gate: Gate) -> None:
    for client in (visitor(app, gate), stranger(app)):
        for path in ("/", "/static/pages.js", "/run/none", "/nothing"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"


def test_a_port_that_is_taken_and_a_token_that_is_short_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = operator_listener(tmp_path, 0)
    try:
        port = listener.socket.getsockname()
        assert port[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match="port"):
            operator_listener(tmp_path, port[1])
    finally:
        listener.socket.close()
    monkeypatch.setenv("FEDREC_PAGES_TOKEN", "short")
    with pytest.raises(ConfigError, match="too short"):
        operator_listener(tmp_path, 0)
