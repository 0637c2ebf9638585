"""A config from TOML, from ``--set``, and from Flower's run-config: the same fields, validated where they are born."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from fedrec.config.base import Settings, section_of
from fedrec.config.overrides import with_overrides
from fedrec.config.root import Config
from fedrec.errors import ConfigError

_NAMED: Final = 3


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file, then apply ``section.key=value`` overrides.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, a value out of range; names the field.
    """
    return from_tree(with_overrides(read_tree(path), overrides))


def read_tree(path: Path) -> dict[str, Any]:
    """What a TOML file says, as a nested mapping that is not yet checked. Raises ConfigError as `load`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("no such config file", value=str(path), action="Give the path of a TOML file") from None
    except OSError as error:
        raise ConfigError(
            f"the config file cannot be read: {error.strerror}", value=str(path), action="Give the path of a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not TOML: {error}", action="Mend the line it names") from None


def from_tree(tree: Mapping[str, Any]) -> Config:
    """Validate a nested mapping. Raises ConfigError naming every bad field."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(dict(e)) for e in error.errors()), action=_help_on(tree)) from None


def from_run_config(text: str, root: Path) -> Config:
    """Settings as Flower's run-config carries them, whose values cannot be lists, tables or null.

    ``text``: JSON of the sections and keys that differ from the defaults, or the path of a TOML file, relative to
    ``root``, the app's folder; empty means the defaults.

    Raises:
        ConfigError: as `load`, or the text is not JSON.
    """
    if not text.lstrip().startswith("{"):
        return load(root / text) if text else Config()
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"run-config's config is not JSON: {error}", value=text, action="Mend it, or give the path of a TOML file"
        ) from None
    return from_tree(tree)


def _sentence(error: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "config"
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown key{_meant(error['loc'])}"
    if error["type"] == "model_type":
        return f"{field}: is a section with keys of its own, got {error['input']!r}"
    shown = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return f"{field}: {error['msg']}{shown}"


def _meant(place: Sequence[str | int]) -> str:
    """What was perhaps meant by an unknown key: one like it in its section, or of its name in another."""
    *path, leaf = (str(part) for part in place)
    section: type[Settings] | None = Config
    for name in path:
        field = None if section is None else section.model_fields.get(name)
        section = None if field is None else section_of(field)
    beside = () if section is None else tuple(section.model_fields)
    elsewhere = [key for key in _keys(Config) if key.rpartition(".")[2] == leaf]
    like = difflib.get_close_matches(leaf, beside, n=1, cutoff=0.7)
    found = elsewhere[:_NAMED] or [".".join([*path, name]) for name in like]
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def _keys(section: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}"
        if (inner := section_of(field)) is not None:
            yield from _keys(inner, f"{prefix}{name}.")


def _help_on(tree: Mapping[str, Any]) -> str:
    if any(key not in Config.model_fields for key in tree):
        return f"Sections are {', '.join(Config.model_fields)}"
    return "`fedrec config schema` says what each key may be"
