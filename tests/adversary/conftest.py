"""Fixtures of the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_release_cases import KEY, Place, tiny

from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.release.bundle import write_release


@pytest.fixture
def place(tmp_path: Path) -> Place:
    with EventStore.create(tmp_path / "store.sqlite") as store:
        store.add_events("anna", [Event("i0", 1)])
    write_release(tmp_path / "old", tiny(favourite=1), key=KEY, created_at="2026-11-01T00:00:00Z")
    write_release(tmp_path / "new", tiny(favourite=2), key=KEY, created_at="2026-11-02T00:00:00Z")
    (tmp_path / "key.pub").write_text(KEY.public.hex())
    return Place(tmp_path / "store.sqlite", tmp_path / "old", tmp_path / "new", tmp_path / "key.pub")
