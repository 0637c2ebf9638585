"""Named parts of one kind: those that come with fedrec, and those that other packages add.

A registry is the single list of its kind.  What is built in stands in it as ``"module:attribute"`` and is imported when
it is first used, so that listing names costs nothing and nobody imports what it does not need.  Another package adds a
part by an entry point of the registry's group, or, in a process of its own, by the decorator `Registry.register`.
Engines that start processes (Flower's) see what entry points add, and what the modules named in the environment
variable
``FEDREC_PLUGINS`` (separated by commas) register when they are imported.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, Generic, TypeVar

from fedrec.errors import ConfigError

T = TypeVar("T")
PLUGINS: Final = "FEDREC_PLUGINS"


class Registry(Generic[T]):
    """The parts of one kind, by name.

    Args:
        kind: what they are, in words: ``"query"``, ``"fusion"``.
        builtin: name -> ``"module:attribute"``, in the order in which they are listed.
        group: the entry point group under which other packages add parts.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], *, group: str) -> None:
        self.kind, self.group = kind, group
        self._where = dict(builtin)
        self._loaded: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a part under a new name.

        Raises:
            ConfigError: the name is taken by another part, or is not a word of lower-case letters, digits, - and _.
        """

        def add(part: T) -> T:
            if not name or not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_"):
                raise ConfigError(f"a {self.kind} is named by lower-case letters, digits, - and _", value=name)
            if name in self._where or self._loaded.get(name, part) is not part:
                raise ConfigError(f"there is a {self.kind} of this name already", value=name, action="Use another name")
            self._loaded[name] = part
            return part

        return add

    def unregister(self, name: str) -> None:
        """Take out again what `register` added: for tests. Parts that are built in stay."""
        if name not in self._where:
            self._loaded.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """All names: first what is built in, then what was added, in that order."""
        load_plugins()
        return tuple(dict.fromkeys((*self._where, *self._loaded, *_points(self.group))))

    def __getitem__(self, name: str) -> T:
        """The part of this name; imported now if it was not yet.

        Raises:
            ConfigError: there is none of this name, or it cannot be imported.
        """
        if name not in self._loaded:
            self.check(name)
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[T]:
        return (self[name] for name in self.names())

    def check(self, name: str) -> str:
        """The name itself. Raises ConfigError, with what was perhaps meant, where there is no part of this name."""
        names = self.names()
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            action = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(names)}"
            raise ConfigError(f"there is no {self.kind} of this name", value=name, action=action)
        return name

    def _load(self, name: str) -> T:
        where = self._where.get(name) or _points(self.group)[name]
        module, _, attribute = where.partition(":")
        try:
            found: T = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"the {self.kind} {name!r} cannot be loaded: {error}",
                value=where,
                action="Install what it needs, or leave it out of the settings",
            ) from error
        return found


# Where each registry is. A name is checked where settings are born, and settings are below the registries' own folders.
_HOMES: Final[Mapping[str, str]] = {
    "query": "fedrec.queries.registry:QUERIES",
}


def registry_of(kind: str) -> Registry[Any]:
    """The registry of a kind, by the name of the kind."""
    module, _, attribute = _HOMES[kind].partition(":")
    found: Registry[Any] = getattr(importlib.import_module(module), attribute)
    return found


def check_name(kind: str, name: str) -> str:
    """The name itself, if there is such a part of this kind. Raises ConfigError as `Registry.check`."""
    return registry_of(kind).check(name)


@cache
def load_plugins() -> None:
    """Import the modules named in ``FEDREC_PLUGINS``, once. Raises ConfigError where one cannot be imported."""
    for name in filter(None, (part.strip() for part in os.environ.get(PLUGINS, "").split(","))):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"a module named in {PLUGINS} cannot be imported: {error}", value=name, action="Mend the variable"
            ) from error


@cache
def _points(group: str) -> dict[str, str]:
    return {point.name: point.value for point in importlib.metadata.entry_points(group=group)}
