"""Bring data of any usual shape into a data directory: which file is what, by the columns that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedrec.data.column_names import INTERACTION_NAMES, plain_name
from fedrec.data.schema import Dataset
from fedrec.data.sources import CatalogueFromInteractions, file_table, read_data
from fedrec.data.write_directory import write_directory
from fedrec.errors import DataError


@dataclass(frozen=True)
class Imported:
    """``dataset``: as it was read, with what each column was taken for.  ``changed``: what was not written as it was,
    in sentences."""

    dataset: Dataset
    changed: Sequence[str]


def import_files(
    files: Sequence[Path],
    out: Path,
    *,
    columns: Mapping[str, str],
    item_columns: Mapping[str, str],
    catalogue_from_interactions: bool = False,
) -> Imported:
    """Read one file or directory, or a file of interactions and one of items, and write a data directory.

    Args:
        files: as `fedrec.read_data` takes them; of two, that with a column for users is the interactions.
        out: a directory that does not exist, or is empty.
        columns: part -> column of the interactions, where a name is not a usual one.
        item_columns: the same of the items.
        catalogue_from_interactions: see `fedrec.read_data`.

    Raises:
        DataError: as `fedrec.read_data`; or more than two files, or two of which not exactly one has users.
        ConfigError: arguments that do not go together, or something else is in ``out``.
    """
    interactions, items = _roles(files, columns.get("user"))
    source = CatalogueFromInteractions(interactions) if catalogue_from_interactions else interactions
    dataset = read_data(source, items=items, columns=dict(columns) or None, item_columns=dict(item_columns) or None)
    return Imported(dataset, write_directory(dataset, out))


def _roles(files: Sequence[Path], user: str | None) -> tuple[Path, Path | None]:
    if len(files) == 1:
        return files[0], None
    with_users = [path for path in files if _has_users(path, user)]
    if len(files) != 2 or len(with_users) != 1:
        raise DataError(
            "of two files one must be of interactions, with a column for users, and the other of items",
            path=files[0],
            value=[path.name for path in files],
            action="Give one file or directory, or these two; name the column with --user",
        )
    return with_users[0], next(path for path in files if path is not with_users[0])


def _has_users(path: Path, given: str | None) -> bool:
    header = file_table(path).header
    return given in header if given else any(plain_name(column) in INTERACTION_NAMES["user"] for column in header)
