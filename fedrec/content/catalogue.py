"""The catalogue: all items as published, in one fixed order that features, models and releases share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fedrec.data.schema import Dataset, ItemRecord
from fedrec.errors import ContentError


@dataclass(frozen=True)
class Catalogue:
    """Items in a fixed order. ``ids[i]`` is the id of ``items[i]``, and ``index`` leads from an id to its place."""

    items: Sequence[ItemRecord]
    ids: tuple[str, ...]
    index: Mapping[str, int]

    @classmethod
    def of(cls, items: Iterable[ItemRecord]) -> Catalogue:
        """Build from items, kept in the order given; a sequence is kept as it is, and may make records when asked.

        Raises:
            ContentError: there is no item, an id is empty, or two items share an id.
        """
        kept = items if isinstance(items, Sequence) else tuple(items)
        if not kept:
            raise ContentError("a catalogue needs at least one item", action="Give items.csv at least one row")
        index: dict[str, int] = {}
        for place, item in enumerate(kept):
            if not item.id:
                raise ContentError(f"the item at place {place} has an empty id", action="Give every item an id")
            if index.setdefault(item.id, place) != place:
                raise ContentError("two items share one id", value=item.id, action="Remove one of them from items.csv")
        return cls(kept, tuple(index), MappingProxyType(index))

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Catalogue:
        """The catalogue of a data set, in the data set's order, so that its item places are places here."""
        return cls.of(dataset.items)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ItemRecord]:
        return iter(self.items)


def item_text(item: ItemRecord) -> str:
    """What a text encoder reads of an item: title and text as two sentences, or whichever of the two there is."""
    return ". ".join(part for part in (item.title.strip(), item.text.strip()) if part)
