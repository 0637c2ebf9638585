"""The reference of all settings: every key with its type, range, default and description, from the classes themselves.

The page docs/settings.md and the commands ``fedrec config schema`` and ``fedrec config show`` are made of it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from fedrec.config.base import Settings, section_of
from fedrec.config.root import Config

_WORDS: Final = {bool: "true or false", int: "whole number", float: "number", str: "text", Any: "anything"}
_OUTSIDE: Final = ("Beside the sections", "Keys at the top of a config, in no section.")


@dataclass(frozen=True)
class Reference:
    """One key.

    ``key``: with dots, ``section.key``.  ``kind``: what a value is, in words.  ``bounds``: its range, in words, empty
    where it has none.  ``default``: as JSON can hold it.  ``description``: what it does, with its unit.
    """

    key: str
    kind: str
    bounds: str
    default: Any
    description: str


def references(section: type[Settings] = Config, prefix: str = "") -> Iterator[Reference]:
    """Every key of a section and of the sections in it, in their order. A section that may be null is a key itself."""
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is None or _nullable(field):
            default = _plain(field.get_default(call_default_factory=True))
            yield Reference(prefix + name, _kind(field.annotation), bounds_of(field), default, field.description or "")
        if inner is not None:
            yield from references(inner, f"{prefix}{name}.")


def bounds_of(field: FieldInfo) -> str:
    """The range of a field in words, such as ``above 0, at most 100``; empty where it has none."""
    said = []
    for bound in field.metadata:
        if isinstance(bound, annotated_types.Gt):
            said.append(f"above {bound.gt}")
        elif isinstance(bound, annotated_types.Ge):
            said.append(f"from {bound.ge}")
        elif isinstance(bound, annotated_types.Lt):
            said.append(f"below {bound.lt}")
        elif isinstance(bound, annotated_types.Le):
            said.append(f"to {bound.le}")
        elif isinstance(bound, annotated_types.MaxLen):
            said.append(f"at most {bound.max_length} entries")
    return ", ".join(said)


def schema() -> dict[str, Any]:
    """The settings as a JSON Schema, with descriptions, defaults and ranges."""
    return Config.model_json_schema()


def markdown() -> str:
    """The page docs/settings.md: a table for each section, and one for the keys that are in none."""
    lines = [
        "# Settings",
        "",
        "Every key that a config may set, by section. A config is a TOML file; what it leaves out has the default, or",
        "what `model.preset` says. `--set section.key=value` changes one key on the command line. `fedrec config show`",
        "prints what a config comes to and where each value is from.",
        "",
        "This page is made by `fedrec config schema --markdown > docs/settings.md`; a test holds it to the code.",
    ]
    sections: list[tuple[str, type[Settings]]] = [*_sections(Config), ("", Config)]
    for prefix, section in sections:
        rows = [one for one in references(section, prefix) if "." not in one.key.removeprefix(prefix)]
        if not rows:
            continue
        title, prose = (f"`[{prefix.removesuffix('.')}]`", _prose(section)) if prefix else _OUTSIDE
        lines += ["", f"## {title}", "", prose, ""]
        lines += ["| key | value | range | default | what it is |", "| --- | --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(_cells(one, prefix)) + " |" for one in rows]
    return "\n".join([*lines, ""])


def _sections(section: type[Settings], prefix: str = "") -> Iterator[tuple[str, type[Settings]]]:
    for name, field in section.model_fields.items():
        if (inner := section_of(field)) is not None:
            yield f"{prefix}{name}.", inner
            yield from _sections(inner, f"{prefix}{name}.")


def _cells(one: Reference, prefix: str) -> list[str]:
    default = "null" if one.default is None else json.dumps(one.default)
    cells = [f"`{one.key.removeprefix(prefix)}`", one.kind, one.bounds, f"`{default}`", one.description]
    return [cell.replace("|", "\\|") for cell in cells]


def _prose(section: type[Settings]) -> str:
    """A section's docstring as one paragraph of Markdown."""
    words = " ".join((section.__doc__ or "").split())
    return words.replace("``", "`")


def _nullable(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


def _kind(annotation: Any) -> str:
    """What a value is, in words."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(str(one) for one in inner)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if one is type(None) else _kind(one) for one in inner)
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"table of {_kind(inner[0])} to {_kind(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "section"
    return _kind(inner[0]) if inner else str(annotation)


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value
