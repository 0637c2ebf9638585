"""Devices seen from outside: what one does to answer, and what all of a run put on the wire."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from flwr.app import Message

import fedrec.client
from fedrec.client.device import Device
from fedrec.client.device_context import DeviceContext
from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.data.schema import Event, Note
from fedrec.data.store import EventStore
from fedrec.queries.request import Request
from fedrec.queries.wire import Envelope
from fedrec.simulation.engines import grid_devices as grid_engine
from fedrec.simulation.study import Study
from fedrec.testing import federation

# Devices that differ as much as devices can: without events, with all of them, and with words that are found again.
IDLE, BUSY, PLANTED = 0, 1, 2
SECRET_NOTE = "note-canary lantern marmalade-31 quokka"
SECRET_ITEM = "item-canary-e07d44"


@dataclasses.dataclass(frozen=True)
class Replay:
    """What can be seen of a device that answered: the kind of answer, the answer, and the lines that ran."""

    kind: str
    answer: bytes
    branches: tuple[tuple[str, int], ...]


def replayed(config: Config, catalogue: Path, store: Path, request: Request, *, run: str) -> Replay:
    """Let a device answer, with randomness from the seed, and take down what its code did."""
    context = DeviceContext(config, catalogue)
    asked = Envelope(request, "session", context.catalogue)
    device = Device(context, store)
    device.device_context.handler.encoder(request.query)  # importing is no answer
    lines: list[tuple[str, int]] = []
    folder = str(Path(fedrec.client.__file__).parent)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        # Reading the store is a loop over what it holds; a module's own lines run when it is first imported.
        if not code.co_filename.startswith(folder) or code.co_filename.endswith("load_population.py"):
            return None
        if code.co_name == "<module>":
            return None
        if event == "line":
            lines.append((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        answer, kind = device.answer(asked, run), "share"
    except Exception as error:
        answer, kind = b"", type(error).__name__
    finally:
        sys.settrace(before)
    return Replay(kind, answer, tuple(lines))


def neighbouring_stores(study: Study, unit: str, out: Path) -> Iterator[tuple[Path, Path, float]]:
    """Pairs of stores: with and without one event, and for unit user with and without all of a user.

    The number: how many times the sum's sensitivity lie between their contributions at most.  Of unit user, two
    histories that differ in an event are one user's, replaced by another's: twice what leaving the user out moves.
    """
    ids = study.features.ids
    for number, history in enumerate(([], [3], [3, 5, 8], list(range(40)))):
        items = [ids[item] for item in history]
        yield (
            make_store(out / f"{number}-with.sqlite", [*items, ids[60]], held=ids[90]),
            make_store(out / f"{number}-without.sqlite", items, held=ids[90]),
            2.0 if unit == "user" else 1.0,
        )
    if unit == "user":
        everything = make_store(out / "all.sqlite", list(ids[:50]), held=ids[90], notes=[SECRET_NOTE])
        yield everything, make_store(out / "nothing.sqlite", [], held=None), 1.0


def make_store(path: Path, items: list[str], *, held: str | None, notes: list[str] | None = None) -> Path:
    """A device's store of one user with these events, in order, the held-out one at their end."""
    with EventStore.create(path, device_name="one") as store, store.transaction():
        store.add_user("one")
        store.add_events("one", [Event(item, at + 1) for at, item in enumerate(items)])
        if held is not None:
            store.add_events("one", [Event(held, len(items) + 1)])
            store.set_held_out("one", held, None)
        for note in notes or ():
            store.add_note("one", Note(note))
    return path


@contextmanager
def wire_of(config: Config, study: Study, out: Path) -> Iterator[list[tuple[Message, Message]]]:
    """All messages of a run of engine grid over planted devices."""
    seen: list[tuple[Message, Message]] = []
    with open_reporter(silent=True) as reporter:
        _, stores = grid_engine.place_devices(study, out, reporter)
        _plant(study, stores)
        with grid_engine.grid_devices(config, study, out, reporter, spy=lambda *pair: seen.append(pair)) as devices:
            federation.run(config, study, out / "server", devices=devices)
    yield seen


def _plant(study: Study, stores: Path) -> None:
    (stores / f"{IDLE:05d}.sqlite").unlink()
    make_store(stores / f"{IDLE:05d}.sqlite", [], held=None)
    (stores / f"{BUSY:05d}.sqlite").unlink()
    make_store(stores / f"{BUSY:05d}.sqlite", list(study.features.ids[:-1]), held=study.features.ids[-1])
    (stores / f"{PLANTED:05d}.sqlite").unlink()
    items = [SECRET_ITEM, *study.features.ids[:5]]
    make_store(stores / f"{PLANTED:05d}.sqlite", items, held=study.features.ids[9], notes=[SECRET_NOTE])
