"""What must outlive a power cut is synced before the device goes on; what need not be is not, so that it is quick."""

from __future__ import annotations

import json
from pathlib import Path

import federation_cases as cases
import hostile_cases as hostile
import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.client.request_policy import claim
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import StoreError
from fedrec.simulation.study import Study

NORMAL, FULL = 1, 2


def level(store: EventStore) -> int:
    return int(store._rows("PRAGMA synchronous")[0][0])


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """Setting -> the levels that were in force when it was written."""
    seen: dict[str, set[int]] = {}
    true = EventStore.set_setting

    def noted(self: EventStore, name: str, value: str) -> None:
        seen.setdefault(name, set()).add(level(self))
        true(self, name, value)

    monkeypatch.setattr(EventStore, "set_setting", noted)
    return seen


def test_only_a_durable_transaction_is_synced_and_only_while_it_lasts(tmp_path: Path) -> None:
    with EventStore.create(tmp_path / "device.sqlite") as store:
        assert level(store) == NORMAL
        with store.transaction():
            store.add_events("ann", [Event("a")])
            assert level(store) == NORMAL
        with store.transaction(durable=True):
            with store.transaction(durable=True), store.transaction():
                store.set_setting("claim", "1")
            assert level(store) == FULL
        assert level(store) == NORMAL
        with pytest.raises(KeyError), store.transaction(durable=True):
            store.set_setting("claim", "2")
            raise KeyError
        assert (level(store), store.get_setting("claim")) == (NORMAL, "1")
        with store.transaction(), pytest.raises(StoreError, match="durable"), store.transaction(durable=True):
            pass
        with store.transaction(durable=True):
            store.set_setting("claim", "3")
    with EventStore.open(tmp_path / "device.sqlite") as store:
        assert (level(store), store.get_setting("claim")) == (NORMAL, "3")


def test_all_that_a_secure_sum_remembers_is_synced(
    federation_study: Study, tmp_path: Path, written: dict[str, set[int]]
) -> None:
    config = cases.settings(secure_aggregation={"protocol": "secagg+"})
    with hostile.hostile_devices(config, federation_study, tmp_path) as (devices, _):
        written.clear()
        devices.aggregate(hostile.requests(config, federation_study)[0], range(cases.USERS))
    assert {"secagg replay guard", "secagg pending", "secagg asked", "secagg newest roster"} <= set(written)
    assert set().union(*written.values()) == {FULL}


def test_the_claim_of_a_question_and_an_identity_are_synced(
    federation_study: Study, tmp_path: Path, written: dict[str, set[int]]
) -> None:
    path = tmp_path / "device.sqlite"
    with EventStore.create(path) as store:
        written.clear()
        claim(store, "run", "session", cases.popularity_question(cases.settings(), federation_study), attempts=1)
    assert written == {"answered rounds": {FULL}}
    written.clear()
    done = CliRunner().invoke(build(), ["device", "identity", "--store", str(path), "--json"])
    assert json.loads(done.stdout)["roster_key"] is None
    assert written == {"secagg identity": {FULL}}
