"""The grid in several processes: the same sums, and what goes wrong in one of them costs one device, or says so."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.constant import ErrorCode
from worker_cases import call

from fedrec.config import from_tree
from fedrec.cores import Cores
from fedrec.errors import ProtocolError
from fedrec.simulation.engines.grid_devices import workers_of
from fedrec.simulation.engines.grid_workers import WorkerGrid

NODES = (2, 3, 5, 7, 11)


def request(node: int, *, end: bool = False) -> Message:
    return Message(RecordDict({"asked": ConfigRecord({"end": end})}), node, "query.anything", group_id="g")


@pytest.mark.slow
def test_every_node_has_a_process_and_an_error_is_one_nodes() -> None:
    contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in NODES}
    seen: Counter[int] = Counter()

    def spy(asked: Message, said: Message) -> None:
        assert said.metadata.reply_to_message_id == asked.metadata.message_id
        seen[asked.metadata.dst_node_id] += 1

    with WorkerGrid(call, contexts, run_id=42, workers=2, spy=spy) as grid:
        assert grid.pull_messages(["unknown"]) == []
        replies = grid.send_and_receive([request(node) for node in (*NODES, *NODES)])
        errors = [reply.error for reply in replies if reply.has_error()]
        assert [(error.code, error.reason) for error in errors] == 2 * [
            (ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "<class 'RuntimeError'>:<'nothing here'>")
        ]
        answers = [reply.content["text"] for reply in replies if reply.has_content()]
        assert {reply.metadata.run_id for reply in replies} == {42}
        process = {answer["node"]: answer["process"] for answer in answers}
        assert len(set(process.values())) == 2
        assert os.getpid() not in process.values()
        assert Counter((answer["node"], answer["times"]) for answer in answers) == Counter(
            (node, times) for node in NODES if node != 5 for times in (1, 2)
        )
        assert seen == dict.fromkeys(NODES, 2)
        assert grid.cpu_seconds() > time.process_time()
        with pytest.raises(ProtocolError, match="has ended"):
            grid.send_and_receive([request(7, end=True)])


def test_few_devices_stay_in_this_process_and_the_settings_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cores, "here", classmethod(lambda cls: cls(8, 3, None, 0.0)))
    plain = from_tree({})
    assert [workers_of(plain, devices) for devices in (1, 199, 200, 10_000)] == [1, 1, 3, 3]
    chosen = from_tree({"speed": {"workers": 4}})
    assert [workers_of(chosen, devices) for devices in (2, 30, 10_000)] == [2, 4, 4]


@pytest.mark.slow
def test_sums_are_the_same_in_one_process_and_in_two(tmp_path: Path) -> None:
    import federation_cases as cases
    import numpy as np
    import query_cases

    from fedrec.console import open_reporter
    from fedrec.model import parameters
    from fedrec.model.build import build_model
    from fedrec.simulation.engines.grid_devices import grid_devices

    study = cases.make_study(tmp_path / "shop")
    secure = {"protocol": "secagg+", "minimum_cohort": 20, "minimum_survivors": 15}
    sums: dict[int, list[np.ndarray]] = {}
    values = None
    for workers in (1, 2):
        config = cases.settings(secure_aggregation=secure, speed={"threads": 1, "workers": workers})
        if values is None:
            values = parameters.flatten(build_model(config, study.features))
        asked = [
            cases.popularity_question(config, study),
            query_cases.training(config, 1, values, len(study.features), cases.USERS),
        ]
        with (
            open_reporter(silent=True) as reporter,
            grid_devices(config, study, tmp_path / f"devices-{workers}", reporter) as devices,
        ):
            opened = [devices.aggregate(request, range(cases.USERS)) for request in asked]
        assert [one.devices for one in opened] == [cases.USERS] * 2
        sums[workers] = [one.vector for one in opened]
    for ours, theirs in zip(sums[2], sums[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
