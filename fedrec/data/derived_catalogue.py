"""A catalogue made of the interactions themselves, which takes a word of consent.

Everything about a catalogue is public: servers send it to all devices, encoders are fitted to it, a release names its
items.  One that is made of the interactions has an item exactly where somebody touched it, so that it shows a single
touch, outside of every sum and of epsilon.  A public list has the items whether anybody touched them or not.
"""

from __future__ import annotations

from fedrec.data.schema import ItemRecord
from fedrec.data.tables import TextTable
from fedrec.data.tally import Tally
from fedrec.errors import DataError


def items_of_interactions(table: TextTable, item: int, *, consented: bool, where: str) -> tuple[ItemRecord, ...]:
    """An item without content for each id in the column ``item``, in the order in which they come.

    Args:
        table: of interactions.
        item: place of the column.
        consented: whether it was said that the items of these interactions are public.
        where: what a public list of items would be, in words.

    Raises:
        DataError: nobody consented; names both ways.
    """
    if not consented:
        raise DataError(
            "there is no list of items, and one made of the interactions shows what a single person touched",
            path=table.path,
            action=f"Give a public list of items ({where}); or, if these items are public, say so: "
            "--catalogue-from-interactions, in Python read_data(..., catalogue_from_interactions=True)",
        )
    ids: dict[str, None] = {}
    # Rows lost here are lost, and recorded, once more when the interactions themselves are read.
    for chunk in table.chunks(Tally(table.path, [])):
        ids.update(dict.fromkeys(chunk.columns[item]))
    ids.pop("", None)
    return tuple(ItemRecord(id_, "") for id_ in ids)
