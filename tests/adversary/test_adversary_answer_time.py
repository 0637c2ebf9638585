"""A server that times answers: a photo that was never encoded takes long, and must not be seen in when answers leave.

Two hundred pairs of devices that differ in one photo.  Their answers are timed to a millisecond, finer than any network
lets a server see.  Time is the processor's that the device really spends, and waiting is added to it: so other
processes that want the machine change nothing, and nobody waits.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from unittest import mock

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from numpy.typing import NDArray
from PIL import Image

from fedrec.client import app as app_module
from fedrec.client.answer_time import AnswerSchedule
from fedrec.client.app import app
from fedrec.data.schema import Event, Photo
from fedrec.data.store import EventStore
from fedrec.message_records import to_records
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.study import Study

PAIRS = 200
FIRST = 0.25
CONFIG = cases.settings()


class ProcessorTime:
    """Seconds that this process has reckoned or, in its own words, slept."""

    def __init__(self) -> None:
        self.slept = 0.0

    def clock(self) -> float:
        return time.process_time() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def photo() -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "jpeg")
    return data.getvalue()


@pytest.fixture(scope="module")
def catalogue(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cases.place(federation_study, tmp_path_factory.mktemp("placed"))[0]


def answered(study: Study, catalogue: Path, store: Path) -> float:
    """Seconds until a device answers; the first time that it is asked anything."""
    asked = cases.envelope(cases.popularity_question(CONFIG, study), study, "first")
    content = to_records(asked.fields(), asked.parts())
    run = {"config": CONFIG.model_dump_json(), "catalogue": str(catalogue)}
    node = {"store": str(store), "simulation": True}
    spent, taken = ProcessorTime(), []

    def call(message: Message, context: Context) -> Message:
        started = spent.clock()
        reply = app(message, context)
        taken.append(spent.clock() - started)
        return reply

    schedule = AnswerSchedule(FIRST, spent.clock, spent.sleep)
    patched = mock.patch.object(app_module, "_schedule", lambda context: schedule)
    with patched, InProcessGrid(call, {0: Context(77, 0, node, RecordDict(), {**run})}, run_id=77) as grid:
        (reply,) = grid.send_and_receive([Message(content, 0, "query.private_sum", group_id="g")])
    assert reply.has_content()
    return taken[0]


def timed(study: Study, catalogue: Path, taken_in: bytes, out: Path, pairs: int) -> tuple[NDArray[np.float64], ...]:
    """Milliseconds of devices with the photo, and of the same without it, each pair in random order."""
    taken: tuple[list[float], list[float]] = ([], [])
    order = np.random.default_rng(2)
    for pair in range(pairs):
        for having in order.permutation(2):
            path = out / f"{pair}-{having}.sqlite"
            with EventStore.create(path, device_name="one") as store, store.transaction():
                store.add_events("one", [Event(item, 1) for item in study.features.ids[:4]])
                if having:
                    store.add_photo("one", Photo("new", taken_in))
            taken[having].append(answered(study, catalogue, path))
    without, having = (np.round(1000 * np.array(times)) for times in taken)
    return having, without


def advantage(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """How much better than a coin the best guess by a threshold is: the Kolmogorov-Smirnov distance, 0 to 1."""
    at = np.unique(np.concatenate([one, other]))
    below = (np.searchsorted(np.sort(times), at, side="right") / len(times) for times in (one, other))
    return float(np.abs(next(below) - next(below)).max())


@pytest.mark.slow
def test_when_an_answer_leaves_does_not_tell_who_has_the_photo(
    federation_study: Study, catalogue: Path, tmp_path: Path
) -> None:
    having, without = timed(federation_study, catalogue, photo(), tmp_path, PAIRS)
    # The distance of two samples of 200 from one distribution is above .25 with a chance of 1e-5.
    assert advantage(having, without) <= 0.25


def test_without_the_schedule_it_does(
    federation_study: Study, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnswerSchedule, "wait", lambda self, arrived: None)
    having, without = timed(federation_study, catalogue, photo(), tmp_path, 30)
    assert advantage(having, without) >= 0.8
