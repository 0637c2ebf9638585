"""What a person with a device waits for: from a cold start to the first list, and from a new event to the next.

The release is as large as one of a real catalogue, and made up: features of text, co-occurrence factors, popularity, no
content tower.  A cold start is a process of its own: the interpreter, what it loads, reading and checking all of the
release, and ranking.  It leaves as soon as it has told the list; what the command takes to leave in order is in its
own figure.

Modules are loaded from their compiled form, as they are where fedrec was installed: it is made by the first run, which
is not measured.  A checkout that may not write it would compile them anew for each list.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from fedrec.client.checked_settings import forget_settings
from fedrec.client.ranker import Ranker
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import from_tree
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import CatalogueItems, ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.simulation.bench.measuring import Machine, in_turn, seconds_of

USER: Final = "u"
HISTORY: Final = 200
TOP: Final = 10
_TIMES: Final = 3
FIRST_EVENT: Final = 1_700_000_000
"""Seconds since 1970; events are a minute apart."""
_LIST: Final = """
import os
import sys
from pathlib import Path
from fedrec.client.ranker import recommend
release, store, user, top = sys.argv[1:]
found = recommend(Path(release), Path(store), user, int(top))
print(len(found), "torch" in sys.modules, flush=True)
os._exit(0)
"""
_MODULES: Final = """
import os
import fedrec.client.ranker
os._exit(0)
"""
_NUMPY: Final = """
import os
import numpy
os._exit(0)
"""
_NO_BYTECODE: Final = "PYTHONDONTWRITEBYTECODE"


@dataclass(frozen=True)
class DeviceSizes:
    """``items`` of the catalogue, ``width`` of features and factors, ``events`` of the store that is measured."""

    items: int
    width: int
    events: int


def run_device(sizes: DeviceSizes, seconds: float = 5.0) -> dict[str, Any]:
    """Measure a device, each figure for about so many seconds.

    Returns:
        machine, sizes, the release's bytes; ``cold start``: seconds of a process to its first list, by a release that
        it knows and by a new one, what of it is the interpreter and what it loads, processor seconds of each, and
        whether torch is loaded; ``in one process``: seconds of reading the release,
        of making it ready, and of a list; ``new event``: seconds from an event to a list that knows it; ``store``:
        bytes.
    """
    with TemporaryDirectory() as name:
        place = Path(name)
        release, store = made_release(place / "release", sizes), _store(place / "device.sqlite", sizes.items, HISTORY)
        size = sum(path.stat().st_size for path in release.iterdir())
        return {
            "machine": Machine.here().facts(),
            "sizes": asdict(sizes) | {"release_bytes": size},
            "cold start": _ColdStart(release, store, place / "compiled").measured(seconds),
            **_one_process(release, store, sizes.items, seconds),
            "store": _store_size(place / "large.sqlite", sizes),
        }


def made_release(directory: Path, sizes: DeviceSizes) -> Path:
    """Write a release of so many items to a directory, signed by a passing key; returns it."""
    rng = np.random.default_rng(0)
    shape = (sizes.items, sizes.width)
    spread = (1.0 + np.arange(sizes.width, dtype=np.float32)) ** -0.5
    text, history, candidate = (rng.standard_normal(shape, dtype=np.float32) * spread for _ in range(3))
    popularity = (1e5 / (1.0 + rng.permutation(sizes.items))).astype(np.float32)
    contents = ReleaseContents(
        name="bench",
        items=CatalogueItems(
            ids=tuple(f"item-{place:07d}" for place in range(sizes.items)),
            titles=tuple(f"Title of item {place}" for place in range(sizes.items)),
            values={"text": text},
            present={"text": np.ones(sizes.items, dtype=np.bool_)},
        ),
        model=None,
        collaborative=CollaborativeFactors(history, candidate, popularity),
        config=from_tree({"collaborative": {"scoring": {"weight": 1.0, "popularity_weight": 0.1}}}).model_dump(
            mode="json"
        ),
        privacy={"epsilon_released": None},
    )
    write_release(directory, contents, key=SigningKey.fresh())
    return directory


def _store(path: Path, items: int, events: int) -> Path:
    places = np.random.default_rng(1).integers(0, items, events)
    with EventStore.create(path) as store:
        store.add_events(USER, [_event(int(place), number) for number, place in enumerate(places)])
    return path


def _event(place: int, number: int) -> Event:
    return Event(f"item-{place:07d}", timestamp=FIRST_EVENT + 60 * number)


@dataclass(frozen=True)
class _ColdStart:
    """Each in a process of its own: a list, by Python and by the command line, and only what has to be loaded.

    ``compiled``: a directory for the modules' compiled form.
    """

    release: Path
    store: Path
    compiled: Path

    def measured(self, seconds: float) -> dict[str, Any]:
        """See `run_device`.

        ``processor``: the least seconds of processor time of each, which do not depend on who else uses the machine but
        for shared cache and memory; beside them NumPy alone, which says how quick the machine is.
        """
        options = ["--store", str(self.store), "--user", USER, "--top", str(TOP), "--json"]
        contenders: dict[str, Callable[[], object]] = {
            "first list": self._list,
            "first list by a new release": self._by_new_release,
            "first list by the command": lambda: self._started(
                "-m", "fedrec.cli.main", "recommend", str(self.release), *options
            ),
            "interpreter and modules": lambda: self._started("-c", _MODULES),
        }
        timed = in_turn(contenders, seconds)
        contenders["NumPy alone"] = lambda: self._started("-c", _NUMPY)
        times = _TIMES if seconds else 1
        processor = {name: min(_processor(one) for _ in range(times)) for name, one in contenders.items()}
        listed, torch = self._list().split()
        told: dict[str, Any] = {name: one.facts() for name, one in timed.items()}
        return told | {"processor": processor, "items": int(listed), "torch": torch == "True"}

    def _list(self) -> str:
        return self._started("-c", _LIST, str(self.release), str(self.store), USER, str(TOP))

    def _by_new_release(self) -> None:
        """A first list by a release that the device has not used before: its settings are checked, too."""
        with EventStore.open(self.store, check=False) as opened:
            forget_settings(opened)
        self._list()

    def _started(self, *arguments: str) -> str:
        """What a new Python prints that is started with these arguments."""
        there = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
        there["PYTHONPYCACHEPREFIX"] = str(self.compiled)
        words = [sys.executable, *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=there).stdout


def _processor(start: Callable[[], object]) -> float:
    """Seconds of processor time of the processes that ``start`` starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _one_process(release: Path, store: Path, items: int, seconds: float) -> dict[str, Any]:
    read = read_release(release)
    ranker = Ranker(read)
    with EventStore.open(store) as opened:
        number = HISTORY

        def following() -> None:
            nonlocal number
            number += 1
            opened.add_events(USER, [_event(7919 * number % items, number)])
            ranker.recommend(opened, USER, TOP)

        timed = in_turn(
            {
                "reading and checking": lambda: read_release(release),
                "making ready": lambda: Ranker(read),
                "list": lambda: ranker.recommend(opened, USER, TOP),
                "new event": following,
            },
            seconds,
        )
    new_event = timed.pop("new event")
    return {"in one process": {name: one.facts() for name, one in timed.items()}, "new event": new_event.facts()}


def _store_size(path: Path, sizes: DeviceSizes) -> dict[str, Any]:
    took = seconds_of(lambda: _store(path, sizes.items, sizes.events))
    return {"events": sizes.events, "bytes": path.stat().st_size, "seconds to fill": took}
