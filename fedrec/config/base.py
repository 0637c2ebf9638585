"""What every section of a run's settings is: frozen, and strict about its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Settings(BaseModel):
    """Frozen; an unknown key is an error, so a typing slip never silently changes a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def section_of(field: FieldInfo) -> type[Settings] | None:
    """The section that a field holds, also where it may be null instead; None for a field that is one setting."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def written_keys(tree: Mapping[str, Any], section: type[Settings], prefix: str = "") -> Iterator[str]:
    """The dotted keys that a nested mapping sets.

    A table that is one setting (such as ``privacy.shares``) counts as one key, and so does a section that is set to
    null, or is there and sets nothing.
    """
    for name, value in tree.items():
        field = section.model_fields.get(name)
        inner = None if field is None else section_of(field)
        if inner is not None and isinstance(value, Mapping) and value:
            yield from written_keys(value, inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
