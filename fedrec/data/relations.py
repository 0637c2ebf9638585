"""``relations.csv``: what a knowledge graph says of items, one edge a line, as further attributes of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedrec.data.schema import ItemRecord, Skipped
from fedrec.data.tables import CSV, Table
from fedrec.data.tally import Tally, cut
from fedrec.errors import DataError

MOST_RELATIONS = 64
"""Each may take some hundred columns of the attribute encoder."""


def with_relations(records: Sequence[ItemRecord], path: Path, skipped: list[Skipped]) -> tuple[ItemRecord, ...]:
    """Items with what ``relations.csv`` (item,relation,value) says of them; without the file, as they are.

    ``h,directed_by,Ann`` gives item ``h`` the value ``Ann`` of the categorical field ``directed_by``, beside those that
    items.csv has of a field of that name. Values are in the order of the file.

    Left out and recorded: rows with an empty cell, of an unknown item, and repeated ones. Raises DataError for a wrong
    structure, when more than half of the rows are lost, or for more than `MOST_RELATIONS` relations.
    """
    if not path.exists():
        return tuple(records)
    table = Table(path, CSV)
    table.require("item", "relation", "value")
    places = [table.header.index(name) for name in ("item", "relation", "value")]
    tally = Tally(path, skipped)
    found: dict[str, dict[str, dict[str, None]]] = {record.id: {} for record in records}
    for chunk in table.chunks(tally):
        rows = zip(*(chunk.columns[place] for place in places), strict=True)
        for line, (item, *edge) in zip(chunk.lines.tolist(), rows, strict=True):
            relation, value = (cut(cell.strip(), tally, line, "cell") for cell in edge)
            if not (item and relation and value):
                tally.lose(line, "missing cell")
            elif item not in found:
                tally.lose(line, "unknown item")
            elif value in (values := found[item].setdefault(relation, {})):
                tally.lose(line, "duplicate row")
            else:
                values[value] = None
    tally.finish()
    _check(path, {relation for of_item in found.values() for relation in of_item})
    return tuple(_joined(record, found[record.id]) for record in records)


def _check(path: Path, relations: set[str]) -> None:
    if len(relations) > MOST_RELATIONS:
        raise DataError(
            f"more than {MOST_RELATIONS} relations",
            path=path,
            value=len(relations),
            action="Leave out those that few items have; is the column 'relation' the right one?",
        )


def _joined(record: ItemRecord, edges: dict[str, dict[str, None]]) -> ItemRecord:
    if not edges:
        return record
    attributes = dict(record.attributes)
    for relation, values in edges.items():
        attributes[relation] = tuple(dict.fromkeys((*attributes.get(relation, ()), *values)))
    return replace(record, attributes=attributes)
