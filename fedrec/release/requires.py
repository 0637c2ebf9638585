"""What a release needs beside fedrec: parts that other packages registered, without which it cannot be opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedrec.errors import ConfigError, ReleaseError

if TYPE_CHECKING:
    from fedrec.config import Config, ModelSettings

# Most releases need nothing, and then neither settings nor registries are loaded.


@dataclass(frozen=True)
class Requirement:
    """A part by ``kind`` (such as ``text encoder``) and ``name``; ``origin``: the package or module that it is from."""

    kind: str
    name: str
    origin: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.origin}"

    @classmethod
    def from_facts(cls, facts: Any) -> Requirement:
        """The inverse of ``dataclasses.asdict``. Raises TypeError or KeyError where the facts are others."""
        return cls(str(facts["kind"]), str(facts["name"]), str(facts["origin"]))


def requirements_of(config: Config) -> tuple[Requirement, ...]:
    """The parts of other packages that ranking with a model of these settings takes; none where all is built in."""
    from fedrec.registry import registry_of

    found = ((kind, name, registry_of(kind).origin(name)) for kind, name in _used(config))
    return tuple(dict.fromkeys(Requirement(kind, name, origin) for kind, name, origin in found if origin is not None))


def needs_other_packages(settings: ModelSettings) -> bool:
    """Whether a part of the model is of another package."""
    from fedrec.registry import registry_of

    return any(registry_of(kind).origin(name) is not None for kind, name in _parts(settings))


def check_requirements(requires: Iterable[Requirement]) -> None:
    """Raise ReleaseError, which says what to install, where a part is not registered here."""
    missing = [need for need in requires if not _is_here(need)]
    if missing:
        from fedrec.registry import PLUGINS

        raise ReleaseError(
            f"the release needs parts that are not registered here: {'; '.join(map(str, missing))}",
            action=f"Install the packages, or name the modules that register the parts in {PLUGINS}",
        )


def _used(config: Config) -> Iterator[tuple[str, str]]:
    from fedrec.config import named_parts

    for modality in config.content.modalities:
        if hasattr(config.content, modality):
            yield from named_parts(getattr(config.content, modality))
    if config.model.tower:
        yield from _parts(config.model)


def _parts(settings: ModelSettings) -> Iterator[tuple[str, str]]:
    from fedrec.config import named_parts

    # A preset is only a way to write settings down.
    return ((kind, name) for kind, name in named_parts(settings) if kind != "preset")


def _is_here(need: Requirement) -> bool:
    from fedrec.registry import registry_of

    try:
        return need.name in registry_of(need.kind)
    except (KeyError, ConfigError):
        return False
