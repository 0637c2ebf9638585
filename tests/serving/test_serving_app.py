"""``fedrec serve``: ranks for what is in the request, checks it first, and keeps nothing of it."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

import fedrec
from fedrec.errors import ConfigError, ReleaseError
from fedrec.serving import process
from fedrec.serving.app import MOST_BYTES, application
from fedrec.serving.messages import MOST_EVENTS

TOKEN = "a-token-drawn-by-chance"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fedrec.OpenedRelease]:
    directory = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDREC_CACHE", str(directory / "cache"))
        fedrec.make_shop(directory / "shop", users=24, items=140, seed=2)
        changes = {"training.rounds": 1, "privacy.epsilon": 8, "content.modalities": ["text", "attributes"]}
        fedrec.simulate("defaults", directory / "shop", out=directory / "run", overrides=changes)
        yield fedrec.open_release(directory / "run")


@pytest.fixture(scope="module")
def client(release: fedrec.OpenedRelease) -> TestClient:
    return TestClient(application(release))


def test_it_ranks_as_the_release_does(client: TestClient, release: fedrec.OpenedRelease) -> None:
    history = list(release.items)[:5]
    answer = client.post("/recommend", json={"history": [*history, "gone"], "top": 7, "explain": True})
    assert answer.status_code == 200
    expected = release.recommend(history, top=7)
    found = answer.json()
    assert found["release"] == release.id
    assert [(one["item"], one["reason"]) for one in found["items"]] == [(one.item, one.reason) for one in expected]
    plain = client.post("/recommend", json={"history": history, "top": 7}).json()["items"]
    assert [one["item"] for one in plain] == [one.item for one in expected]
    assert {one["reason"] for one in plain} == {""}
    assert not {one["item"] for one in plain} & set(history)


def test_somebody_without_a_history_and_one_of_unknown_items_get_a_list(client: TestClient) -> None:
    nobody = client.post("/recommend", json={}).json()
    assert len(nobody["items"]) == 10
    assert client.post("/recommend", json={"history": ["gone"]}).json() == nobody


def test_it_searches(client: TestClient, release: fedrec.OpenedRelease) -> None:
    item, title = next(iter(release.items.items()))
    found = client.post("/search", json={"query": title, "top": 10}).json()["items"]
    assert item in [one["item"] for one in found]
    refused = client.post("/search", json={"query": "qqzzxx"})
    assert refused.status_code == 400 and "qqzzxx" not in refused.text


def test_it_says_which_release_answers_and_describes_itself(client: TestClient, release: fedrec.OpenedRelease) -> None:
    facts = client.get("/release").json()
    assert facts["id"] == release.id and facts["privacy"]["epsilon_released"] <= 8
    assert {"/recommend", "/search", "/release", "/health"} <= set(client.get("/openapi.json").json()["paths"])
    assert client.get("/docs").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"history": ["x"] * (MOST_EVENTS + 1)},
        {"history": ["x" * 300]},
        {"history": "abc"},
        {"history": [1, None]},
        {"top": 0},
        {"top": 101},
        {"user": "anna"},
        {"notes": ["secret " * 2_000]},
        {"at": -1},
        [],
        None,
    ],
)
def test_what_is_no_request_is_refused_without_repeating_it(client: TestClient, body: object) -> None:
    answer = client.post("/recommend", json=body)
    assert answer.status_code == 422
    assert "secret" not in answer.text and "anna" not in answer.text and "xxx" not in answer.text


def test_a_body_without_a_length_or_too_large_is_not_read(client: TestClient) -> None:
    large = client.post("/recommend", content=b" " * (MOST_BYTES + 1))
    assert large.status_code == 413
    streamed = client.post("/recommend", content=iter([b"{", b"}"]))
    assert streamed.status_code == 411
    assert client.post("/recommend", content=b"{no json").status_code == 422


def test_nothing_is_kept_between_requests(
    client: TestClient, release: fedrec.OpenedRelease, caplog: pytest.LogCaptureFixture
) -> None:
    def files() -> str:
        root = release.directory.parent
        parts = sorted(path for path in root.rglob("*") if path.is_file())
        return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()

    before, first = files(), client.post("/recommend", json={}).json()
    with caplog.at_level(logging.DEBUG):
        for item in list(release.items)[:20]:
            client.post("/recommend", json={"history": [item], "notes": ["a private wish"]})
            client.post("/search", json={"query": "a private wish lamp"})
    assert client.post("/recommend", json={}).json() == first
    assert files() == before
    assert "private wish" not in caplog.text


def test_many_at_once_each_get_their_own(client: TestClient, release: fedrec.OpenedRelease) -> None:
    histories = [[item] for item in list(release.items)[:24]]

    def ask(history: list[str]) -> list[str]:
        return [one["item"] for one in client.post("/recommend", json={"history": history}).json()["items"]]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, histories))
    assert together == [ask(history) for history in histories]


def test_with_a_token_everything_but_health_wants_it(release: fedrec.OpenedRelease) -> None:
    guarded = TestClient(application(release, TOKEN))
    assert guarded.get("/health").status_code == 200
    for header in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
    ):
        for method, path in (
            ("GET", "/release"),
            ("POST", "/recommend"),
            ("POST", "/search"),
            ("GET", "/openapi.json"),
        ):
            answer = guarded.request(method, path, headers=header)
            assert answer.status_code == 401 and TOKEN not in answer.text
    right = guarded.post("/recommend", json={}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert right.status_code == 200


def test_beyond_loopback_a_token_is_needed(release: fedrec.OpenedRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(process.TOKEN, raising=False)
    with pytest.raises(ConfigError, match="needs a token"):
        process.serve(release.directory, host="0.0.0.0", port=1, workers=1)
    monkeypatch.setenv(process.TOKEN, "short")
    with pytest.raises(ConfigError, match="too short"):
        process.serve(release.directory, host="127.0.0.1", port=1, workers=1)


def test_a_release_that_cannot_be_used_is_said_before_anything_listens(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError):
        process.serve(tmp_path, host="127.0.0.1", port=1, workers=1)


@pytest.mark.slow
def test_the_command_serves_on_loopback_until_it_is_ended(release: fedrec.OpenedRelease) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "fedrec.cli.main", "serve", str(release.directory), "--port", str(port)]
    served = subprocess.Popen([*words, "--workers", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answer = _when_ready(f"http://127.0.0.1:{port}", served)
        assert json.loads(answer.text)["release"] == release.id
    finally:
        served.terminate()
        served.wait(timeout=30)


def _when_ready(address: str, served: subprocess.Popen[bytes]) -> httpx.Response:
    for _ in range(600):
        assert served.poll() is None
        try:
            return httpx.post(f"{address}/recommend", json={}, timeout=30)
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("it does not answer")
