"""The settings of a release, read on a device without what checks them, once they have been checked there.

Checking takes pydantic and the classes of all settings, which is as long again as a device needs to its first list.  So
the store remembers which release's settings were found good, and by which code; of that release they are then read as
they stand in it: its id is the hash of its manifest, and they are held to that each time.  What is no plain value there
(a list, what follows from other settings) is still asked of the settings themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ReleaseError
from fedrec.release.bundle import Release

if TYPE_CHECKING:
    from fedrec.config import Config

_SETTING: Final = "checked release settings"
_CODE: Final = Path(__file__).resolve().parent.parent / "config"


def settings_of(release: Release) -> Config:
    """The settings of a release, checked. Raises ReleaseError where this fedrec cannot use them."""
    from fedrec.config import from_tree

    try:
        return from_tree(release.contents.config)
    except ConfigError as error:
        raise ReleaseError(f"the release's settings cannot be used: {error.what}", action="Update fedrec") from error


def remembered_settings(store: EventStore, release: Release) -> Config | None:
    """The settings as they are, of a release that this store knows to have been found good by this code; else None.

    Raises:
        StoreError: the store cannot be read.
    """
    if store.get_setting(_SETTING) != _named(release):
        return None
    return cast("Config", ReadSettings(release.contents.config, cache(lambda: settings_of(release))))


def remember_settings(store: EventStore, release: Release) -> None:
    """Note that a release was found good by this code: its settings, and what it encodes with. Raises StoreError."""
    if store.get_setting(_SETTING) != _named(release):
        store.set_setting(_SETTING, _named(release))


def forget_settings(store: EventStore) -> None:
    """Have the next release checked, whichever it is. Raises StoreError."""
    store.set_setting(_SETTING, "null")


def _named(release: Release) -> str:
    return json.dumps([release.id, _code()])


class ReadSettings:
    """Settings as a mapping has them. ``whole``: makes the settings themselves, for what is no plain value in it."""

    __slots__ = ("_tree", "_whole")

    def __init__(self, tree: Mapping[str, Any], whole: Callable[[], Any]) -> None:
        self._tree, self._whole = tree, whole

    def __getattr__(self, name: str) -> Any:
        value = self._tree.get(name, ())
        if isinstance(value, Mapping):
            return ReadSettings(value, lambda: getattr(self._whole(), name))
        if value is None or isinstance(value, str | bool | int | float):
            return value
        return getattr(self._whole(), name)


def _code() -> str:
    """Names the code that settings are checked by, by its files' sizes and times."""
    files = ((path.name, path.stat()) for path in sorted(_CODE.glob("*.py")))
    facts = [(name, found.st_size, found.st_mtime_ns) for name, found in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
