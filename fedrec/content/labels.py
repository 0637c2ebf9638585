"""The attribute values of a catalogue as labels of its items: public facts that both sides know by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ContentError

if TYPE_CHECKING:
    from fedrec.data.schema import ItemRecord

MOST_VALUES: Final = 256
"""ItemLabels of one field; rarer values share the last one."""
OTHER: Final = "(other)"


@dataclass(frozen=True, eq=False)
class ItemLabels:
    """Which attribute values each item has. Item i has the labels ``places[indptr[i]:indptr[i + 1]]``.

    Args:
        names: of the labels, such as ``genres=Drama``, fields in alphabetical order, frequent values first.
        indptr: int64 [items + 1].
        places: int32 [n], each item's labels ascending and none twice.

    Raises:
        ContentError: the pointers do not fit, or a label's place is none of the names.
    """

    names: tuple[str, ...]
    indptr: NDArray[np.int64]
    places: NDArray[np.int32]

    def __post_init__(self) -> None:
        rising = len(self.indptr) > 0 and self.indptr[0] == 0 and not np.any(np.diff(self.indptr) < 0)
        inside = not len(self.places) or (int(self.places.min()) >= 0 and int(self.places.max()) < len(self.names))
        if not (rising and self.indptr[-1] == len(self.places) and inside):
            raise ContentError("labels do not fit their items or names", action="Build the features again")

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def most(self) -> int:
        """The most labels of one item; 0 where there are none."""
        return int(np.diff(self.indptr).max(initial=0))

    @classmethod
    def none(cls, items: int) -> ItemLabels:
        """No labels for so many items."""
        return cls((), np.zeros(items + 1, np.int64), np.zeros(0, np.int32))


def labels_of(items: Iterable[ItemRecord]) -> ItemLabels:
    """The categorical attributes of a catalogue's items as labels; of each field the `MOST_VALUES` most frequent."""
    kept = items if isinstance(items, Collection) else tuple(items)
    counts: dict[str, Counter[str]] = {}
    for item in kept:
        for name, values in item.attributes.items():
            counts.setdefault(name, Counter()).update(set(values))
    places: dict[tuple[str, str], int] = {}
    names: list[str] = []
    for name in sorted(counts):
        ranked = [value for value, _ in sorted(counts[name].items(), key=lambda pair: (-pair[1], pair[0]))]
        first = ranked if len(ranked) <= MOST_VALUES else ranked[: MOST_VALUES - 1]
        for value in first:
            places[name, value] = len(names)
            names.append(f"{name}={value}")
        if len(first) < len(ranked):
            places |= dict.fromkeys(((name, value) for value in ranked[len(first) :]), len(names))
            names.append(f"{name}={OTHER}")
    rows = [
        sorted({places[name, value] for name, values in item.attributes.items() for value in values}) for item in kept
    ]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    return ItemLabels(tuple(names), indptr, np.array([place for row in rows for place in row], dtype=np.int32))
