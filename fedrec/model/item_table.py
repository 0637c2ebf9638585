"""Items of a catalogue by their place in it: features that are gathered only where they are asked for.

Rows of a batch name the same few thousand items again and again, and most of what an encoder does with an item is the
same for all of them.  So a batch from a table keeps places; an encoder that can reads the items of the table once and
hands them out (`Looked`); and whoever asks for the features themselves gets them gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

WHOLE: Final = 65_536
"""A table of at most so many items is read as a whole, and kept as read; of a larger one a batch's items are."""


class ItemTable:
    """Features of all items of a catalogue by modality. ``values``: [items, ...].  ``present``: bool [items]."""

    def __init__(self, values: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> None:
        self.values, self.present = values, present
        self.items = min((len(one) for one in present.values()), default=0)
        self._read: dict[tuple[str, torch.dtype], Tensor] = {}

    def read(self, name: str, dtype: torch.dtype, reading: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``reading`` makes of the features of all items, and of zeros at the end for what is no item; kept.

        ``reading`` is the same at every call, and looks at each item alone.
        """
        if (name, dtype) not in self._read:
            self._read[name, dtype] = reading(self._masked(name, slice(None)).to(dtype))
        return self._read[name, dtype]

    def some(self, name: str, places: Tensor, dtype: torch.dtype, reading: Callable[[Tensor], Tensor]) -> Tensor:
        """The same of items at ``places`` only, int64 [n], with the zeros at the end."""
        return reading(self._masked(name, places).to(dtype))

    def _masked(self, name: str, places: Any) -> Tensor:
        values, present = self.values[name][places], self.present[name][places]
        known = values.masked_fill(~present.reshape(-1, *[1] * (values.ndim - 1)), 0)
        return torch.cat([known, known.new_zeros((1, *known.shape[1:]))])


class Gathered(Mapping[str, Tensor]):
    """A tensor [rows, items, ...] a modality, gathered from ``source`` [catalogue, ...] when it is first asked for."""

    def __init__(self, source: Mapping[str, Tensor], places: Tensor) -> None:
        self._source, self._places = source, places
        self._found: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._found:
            self._found[name] = self._source[name][self._places]
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._source

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)


@dataclass(frozen=True, eq=False)
class InTable:
    """Where a batch's items are from: ``places`` int64 [rows, items] in ``table``; those of the last ``shared`` columns
    are the same in all rows."""

    table: ItemTable
    places: Tensor
    shared: int = 0

    def select(self, rows: slice) -> InTable:
        """Some rows only."""
        return InTable(self.table, self.places[rows], self.shared)


@dataclass(frozen=True, eq=False)
class Looked:
    """Features [n, width] of items, each once, and which of them the rows have: ``places`` int64 [rows, items].

    The last ``shared`` columns of the places are the same in all rows where they are of an item.  A dense layer takes
    it for an input [rows, items, width], applies itself to each of the n items and gathers what it gave.
    """

    features: Tensor
    places: Tensor
    shared: int = 0

    @cached_property
    def gathered(self) -> Tensor:
        """The input that it stands for, [rows, items, width]."""
        return functional.embedding(self.places, self.features)

    def of_all(self, given: Tensor) -> Tensor:
        """What an item's features became, [n, out], for each row's items: [rows, items, out]."""
        return functional.embedding(self.places, given)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Be an input of ``torch.nn.functional.linear``, and of nothing else."""
        if function is not functional.linear or not isinstance(args[0], Looked):
            return NotImplemented
        return args[0].of_all(functional.linear(args[0].features, *args[1:], **(kwargs or {})))


def look_up(
    name: str, origins: Sequence[InTable], real: Tensor, dtype: torch.dtype, reading: Callable[[Tensor], Tensor]
) -> Looked | None:
    """The items of several parts of the same rows, side by side; None where they are not of one table.

    ``real``: bool [rows, items of all parts]; where it is False the features are those of zeros.  ``reading``: what is
    made of each item's features, with nothing that is trained.
    """
    found = look_up_all({name: reading}, origins, real, dtype)
    return None if found is None else found[0][0]


def look_up_all(
    readings: Mapping[str, Callable[[Tensor], Tensor]], origins: Sequence[InTable], real: Tensor, dtype: torch.dtype
) -> tuple[list[Looked], Tensor] | None:
    """The same of several modalities, at the same places: each by its own reading, and which of them each of the items
    has, bool [n, k]."""
    table, shared = origins[0].table, origins[-1].shared
    if any(origin.table is not table for origin in origins):
        return None
    places = torch.cat([origin.places for origin in origins], 1)
    if table.items <= WHOLE:
        features = [table.read(name, dtype, reading) for name, reading in readings.items()]
        present = [table.present[name] for name in readings]
        nothing = table.items
    else:
        used, places = torch.unique(places, return_inverse=True)
        features = [table.some(name, used, dtype, reading) for name, reading in readings.items()]
        present = [table.present[name][used] for name in readings]
        nothing = len(used)
    places = places.masked_fill(~real, nothing)
    has = torch.stack(present, 1)
    return [Looked(one, places, shared) for one in features], torch.cat([has, has.new_zeros((1, len(present)))])
