"""The grid in this process: messages come and go as Flower's, and devices are placed once."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import pytest
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.task_identity import TaskIdentity

from fedrec.data.store import EventStore
from fedrec.errors import StoreError
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.study import Study

NODES = (7, 3, 5)


def contexts() -> dict[int, Context]:
    return {node: Context(1, node, {}, RecordDict(), {}) for node in NODES}


def request(node: int) -> Message:
    return Message(RecordDict({"text": ConfigRecord({"for": node})}), node, "query.anything", group_id="g")


def echo(message: Message, context: Context) -> Message:
    """Answers with the node it is on and how often it was asked: contexts stay."""
    context.state["asked"] = ConfigRecord({"times": 1 + int(context.state["asked"]["times"] if context.state else 0)})
    if context.node_id == 5:
        raise RuntimeError("nothing here")
    return Message(RecordDict({"text": ConfigRecord({"node": context.node_id})}), reply_to=message)


def test_every_question_gets_the_reply_of_its_node_once() -> None:
    kept = contexts()
    with InProcessGrid(echo, kept, run_id=42) as grid:
        assert grid.get_node_ids() == [3, 5, 7]
        assert grid.run.run_id == 42
        ids = grid.push_messages([request(7), request(3), request(7)])
        assert len(set(ids)) == 3
        replies = grid.pull_messages([ids[1], "unknown"])
        assert [reply.metadata.reply_to_message_id for reply in replies] == [ids[1]]
        assert replies[0].content["text"]["node"] == 3
        assert replies[0].metadata.run_id == 42
        assert grid.pull_messages([ids[1]]) == []
        rest = grid.pull_messages(ids)
        assert [reply.metadata.reply_to_message_id for reply in rest] == [ids[0], ids[2]]
    assert kept[7].state["asked"]["times"] == 2
    assert kept[5].state == RecordDict()


def test_what_a_client_raises_comes_back_as_flower_sends_it() -> None:
    with InProcessGrid(echo, contexts(), run_id=1) as grid:
        (reply,) = grid.send_and_receive([request(5)])
    assert reply.error == Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "<class 'RuntimeError'>:<'nothing here'>")


def test_the_process_has_its_own_identity_again_afterwards() -> None:
    before = (TaskIdentity._run_id, TaskIdentity._node_id, TaskIdentity._task_id)
    with pytest.raises(KeyError), InProcessGrid(echo, contexts(), run_id=9):
        assert TaskIdentity.run_id == 9
        raise KeyError
    assert (TaskIdentity._run_id, TaskIdentity._node_id, TaskIdentity._task_id) == before


def test_a_spy_sees_each_question_with_its_reply() -> None:
    seen: list[tuple[Message, Message]] = []
    with InProcessGrid(echo, contexts(), run_id=1, spy=lambda *pair: seen.append(pair)) as grid:
        grid.send_and_receive([request(3), request(5)])
    assert [asked.metadata.dst_node_id for asked, _ in seen] == [3, 5]
    assert [said.has_error() for _, said in seen] == [False, True]
    assert all(said.metadata.reply_to_message_id == asked.metadata.message_id for asked, said in seen)


def test_devices_are_placed_once_and_keep_what_they_remember(federation_study: Study, tmp_path: Path) -> None:
    _, stores = cases.place(federation_study, tmp_path)
    assert len(list(stores.glob("*.sqlite"))) == cases.USERS
    with EventStore.open(stores / "00004.sqlite") as store:
        store.set_setting("remembered", "1")
    cases.place(federation_study, tmp_path)
    with EventStore.open(stores / "00004.sqlite") as store:
        assert store.get_setting("remembered") == "1"


def test_placing_that_was_cut_off_starts_again(federation_study: Study, tmp_path: Path) -> None:
    _, stores = cases.place(federation_study, tmp_path)
    (stores / "devices.json").unlink()
    (stores / "00001.sqlite").write_bytes(b"half a file")
    cases.place(federation_study, tmp_path)
    with EventStore.open(stores / "00001.sqlite") as store:
        assert store.users() == [federation_study.dataset.users[1]]


def test_devices_of_other_data_are_not_taken(federation_study: Study, tmp_path: Path) -> None:
    _, stores = cases.place(federation_study, tmp_path)
    (stores / "devices.json").write_text('{"users": 24, "catalogue": "another"}')
    with pytest.raises(StoreError):
        cases.place(federation_study, tmp_path)
