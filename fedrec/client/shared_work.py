"""What the simulated devices of one process have in common, so that a thousand of them cost no more than they must.

A device of a person opens its store for each message, and works everything out anew: so it holds nothing open, and
loses nothing when it is cut off.  Simulated devices do the same, check for check, on stores that stay open, with what
they worked out for the sum that they are in the middle of, and with one memory of signatures that held.  Nothing here
decides anything: each device reads its own store at every message, and what is kept is used for equal inputs only.

Nothing that a simulation writes waits for the disk: a process that ends loses nothing, a power cut the simulation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedrec.client.trust import IDENTITY, identity_of
from fedrec.data.store import EventStore
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.round_memory import RoundMemory
from fedrec.secagg.signature_memory import SignatureMemory

# A store in use takes three: its file, its log, and the log's index.
_FILES_A_STORE: Final = 3
_OTHER_FILES: Final = 256
_FEWEST: Final = 8


class SharedWork:
    """Of the simulated devices in this process; for one thread.

    Args:
        stores: how many may be open at a time; the one that was used longest ago is closed for another.
    """

    def __init__(self, stores: int) -> None:
        self._most = max(1, stores)
        self._open: OrderedDict[Path, EventStore] = OrderedDict()
        self._rounds: dict[Path, RoundMemory] = {}
        self._identities: dict[Path, tuple[str, DeviceIdentity]] = {}
        self._signatures = SignatureMemory()

    def memory(self, path: Path) -> RoundMemory:
        """What the device of a store works out for the sum that it is in the middle of."""
        return self._rounds.setdefault(path, RoundMemory(self._signatures))

    def identity(self, store: EventStore) -> DeviceIdentity:
        """See `identity_of`; read from its bytes once, as long as these stay the same."""
        kept = store.get_setting(IDENTITY)
        known = self._identities.get(store.path)
        if kept is None or known is None or known[0] != kept:
            found = identity_of(store)
            known = self._identities[store.path] = store.get_setting(IDENTITY) or "", found
        return known[1]

    @contextmanager
    def store(self, path: Path, *, check: bool) -> Iterator[EventStore]:
        """A device's store, opened where it is not open yet; as `EventStore.open`. After an error it is closed."""
        store = self._open.pop(path, None)
        if store is None:
            while len(self._open) >= self._most:
                self._open.popitem(last=False)[1].close()
            store = EventStore.open(path, check=check, synced=False)
        elif check:
            store.check()
        try:
            yield store
        except BaseException:
            store.close()
            raise
        self._open[path] = store

    def close(self) -> None:
        """Close all stores, and forget all that was worked out."""
        self._rounds.clear()
        self._identities.clear()
        while self._open:
            self._open.popitem()[1].close()


_current: SharedWork | None = None


def current() -> SharedWork | None:
    """What simulated devices share here and now; None outside of `shared_work`."""
    return _current


@contextmanager
def shared_work(devices: int) -> Iterator[SharedWork]:
    """Let the simulated devices of this process share while the context lasts; for so many of them, if files allow."""
    global _current
    before, work = _current, SharedWork(min(devices, open_files() // _FILES_A_STORE))
    _current = work
    try:
        yield work
    finally:
        _current = before
        work.close()


def open_files() -> int:
    """How many files more this process may have open, about; the system's soft limit is raised as far as it may be."""
    try:
        import resource
    except ImportError:  # not on this system, where a process may have thousands
        return 2048
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 1 << 16)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return max(_FEWEST * _FILES_A_STORE, hard - _OTHER_FILES)
