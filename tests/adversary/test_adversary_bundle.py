"""A server that sends the devices its own code: what is installed answers, and nothing of a bundle is imported.

With the defence off, which is Flower's own process, the same bundle gets the store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sent_bundle_cases as cases
from flwr.app import Context, Message

import fedrec
from fedrec.client import app as client_app
from fedrec.client import installed_code
from fedrec.client.executor import answer_tasks
from fedrec.client.flower_runtime import FLOWER, ReceivedTask, SuperNodeTasks, check_flower
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries.wire import FAILED
from server.deploy.foreign_bundle import MARK

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what Flower builds bundles with
SECRET = b"what somebody did last night"
FLOWERS_OWN = """
import sys
from flwr.supernode.runtime.run_clientapp import run_clientapp
run_clientapp(sys.argv[1], sys.argv[2], insecure=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"SQLite format 3\0" + SECRET)
    return path


def answer_one(offered: cases.Offered, app: object, node_config: dict[str, str]) -> None:
    """Run the executor until it has answered one message."""
    ended = threading.Event()

    def once(message: Message, context: Context) -> Message:
        ended.set()
        return app(message, context)  # type: ignore[operator, no-any-return]

    with closing(SuperNodeTasks(offered.address, offered.secret)) as tasks:
        answer_tasks(tasks, once, node_config, ended, lambda: None)


def test_with_flowers_own_process_the_bundle_gets_the_store(tmp_path: Path, store: Path) -> None:
    with cases.offered({"store": str(store)}) as offered:
        with closing(SuperNodeTasks(offered.address, b"any")) as tasks:
            task = tasks.acquire()
        assert task is not None
        token = task._client._interceptors[1]._token  # type: ignore[attr-defined]
        environment = {**os.environ, "FLWR_HOME": str(tmp_path / "home"), "FLWR_TELEMETRY_ENABLED": "0"}
        command = [sys.executable, "-I", "-c", FLOWERS_OWN, offered.address, token]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert offered.says(SECRET)
        assert offered.says(MARK.encode())
        assert list((tmp_path / "home" / "apps").rglob("foreign/client.py"))


@pytest.mark.parametrize("agent", [False, True])
def test_the_installed_app_answers_and_the_bundle_stays_where_it_is(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, agent: bool
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    before, path = set(sys.modules), list(sys.path)
    with cases.offered({"store": str(store)}, secret=bytes(32), agent=agent) as offered:
        answer_one(offered, client_app.app, {"store": str(store)})
        reply = offered.reply()
        assert (reply.error.code, reply.error.reason) == FAILED
        assert not offered.says(SECRET)
        assert not offered.says(MARK.encode())
    assert sys.path == path
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] == "foreign"}
    assert not hasattr(fedrec, "MARK")
    assert not (tmp_path / "home").exists()


def test_the_app_is_told_the_devices_own_config_and_nothing_of_the_runs(store: Path) -> None:
    told: list[Context] = []

    def app(message: Message, context: Context) -> Message:
        told.append(context)
        raise RuntimeError(f"an error whose text says {SECRET!r}")

    # What a SuperNode was started with does not count either: the two could differ only by somebody's meddling.
    with cases.offered({"store": "another"}, secret=bytes(32)) as offered:
        answer_one(offered, app, {"store": str(store)})
        assert not offered.says(SECRET)
        assert offered.reply().error.reason == FAILED[1]
    [context] = told
    assert (context.run_id, context.node_id) == (cases.RUN, cases.NODE)
    assert dict(context.node_config) == {"store": str(store)}
    assert dict(context.run_config) == {}
    assert len(context.state) == 0


def test_a_message_of_a_kind_that_is_not_known_is_answered_with_the_fixed_words(store: Path) -> None:
    with cases.offered({}, secret=bytes(32), kind="train.anything") as offered:
        answer_one(offered, client_app.app, {"store": str(store)})
        reply = offered.reply()
        assert (reply.error.code, reply.error.reason) == FAILED


def test_nobody_else_on_the_machine_gets_a_message_or_may_answer_it(store: Path) -> None:
    with (
        cases.offered({}, secret=bytes(32)) as offered,
        closing(SuperNodeTasks(offered.address, b"x" * 32)) as other,
        pytest.raises(ProtocolError, match="offers no messages"),
    ):
        other.acquire()


class Deaf:
    """Tasks of a SuperNode that cannot be reached, ``times`` in a row."""

    def __init__(self, times: int, ended: threading.Event) -> None:
        self.times, self.ended = times, ended

    def acquire(self) -> ReceivedTask | None:
        self.times -= 1
        if self.times < 0:
            self.ended.set()
            return None
        raise ProtocolError("not now")


def test_a_supernode_that_is_not_heard_for_long_ends_the_device_and_a_short_silence_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fedrec.client.executor._PAUSE_SECONDS", 0.0)
    ended = threading.Event()
    answer_tasks(Deaf(19, ended), client_app.app, {}, ended, lambda: None)
    with pytest.raises(ProtocolError, match="not now"):
        answer_tasks(Deaf(20, threading.Event()), client_app.app, {}, threading.Event(), lambda: None)

    def gone() -> None:
        raise ProtocolError("the SuperNode ended")

    with pytest.raises(ProtocolError, match="ended"):
        answer_tasks(Deaf(0, ended), client_app.app, {}, threading.Event(), gone)


def test_a_message_that_cannot_be_received_is_left_and_the_next_one_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, seen = threading.Event(), []

    def receive(task: ReceivedTask) -> None:
        seen.append(task)
        ended.set()
        raise ProtocolError("a message that is none")

    monkeypatch.setattr(ReceivedTask, "receive", receive)
    with cases.offered({}, secret=bytes(32)) as offered, closing(SuperNodeTasks(offered.address, bytes(32))) as tasks:
        answer_tasks(tasks, client_app.app, {}, ended, lambda: None)
    assert len(seen) == 1


def test_code_of_a_bundle_refuses_to_open_a_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle of this project, under a SuperNode that was started without our command, is such code."""
    monkeypatch.setattr(installed_code, "_allowed", False)
    with pytest.raises(ConfigError, match="sent by a server"):
        installed_code.refuse_sent_code({"store": str(store)})
    opened: list[object] = []
    monkeypatch.setattr(client_app, "device_of", lambda *found: opened.append(found))
    with cases.offered({"store": str(store)}, secret=bytes(32)) as offered:
        answer_one(offered, client_app.app, {"store": str(store)})
        assert offered.reply().error.code == FAILED[0]
    assert opened == []
    # The defence off: it goes on to the store.
    installed_code.allow_installed_code()
    with cases.offered({"store": str(store)}, secret=bytes(32)) as offered:
        answer_one(offered, client_app.app, {"store": str(store)})
    assert len(opened) == 1


def test_another_version_of_flower_is_refused() -> None:
    check_flower()
    with pytest.raises(ConfigError, match=FLOWER):
        check_flower("1.43.0")
