"""What every section of a run's settings is: frozen, and strict about its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from fedrec.errors import ConfigError
from fedrec.registry import check_name


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


@dataclass(frozen=True)
class Named:
    """Says of a setting that it names a part of a kind: ``Annotated[str, Named("fusion")]``.

    The name is looked up in the kind's registry (`fedrec.registry`) where settings are born, with what was perhaps
    meant in the refusal; so what another package registers is as good a value as what is built in.
    """

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def _known(self, name: str) -> str:
        try:
            return check_name(self.kind, name)
        except ConfigError as error:
            raise ValueError(f"{error.what}. {error.action}") from None


def named_parts(settings: Settings) -> Iterator[tuple[str, str]]:
    """The kind and the name of every part that settings name, sections within sections included."""
    for field, info in type(settings).model_fields.items():
        value = getattr(settings, field)
        if isinstance(value, Settings):
            yield from named_parts(value)
        yield from ((mark.kind, value) for mark in info.metadata if isinstance(mark, Named) and value is not None)
