"""Columns of a Parquet file as NumPy arrays, with every error naming the file and the row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import DataError
from fedrec.extras import need

_BLOCK: Final = 65_536


def open_parquet(path: Path) -> Any:
    """A `pyarrow.parquet.ParquetFile`; reads the footer only.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: it is missing, or no whole Parquet file.
    """
    parquet = need("pyarrow.parquet", "data", what=f"reading {path.name}")
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"no readable Parquet file: {error}", path=path, action="Write it anew") from None


class ArrowColumns:
    """Reads the columns of tables that all have one schema.

    Args:
        path: the file, for messages.
        schema: its Arrow schema.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        self.path = path
        self.schema = schema
        self._arrow: Any = need("pyarrow", "data")
        self._types: Any = self._arrow.types

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.schema.names

    def require(self, name: str, kind: str) -> None:
        """Raise DataError unless there is such a column of this kind (see `kind`)."""
        if not self.has(name):
            raise DataError(f"no column {name}", path=self.path, value=self.schema.names, action=f"Add it, as {kind}")
        if kind != (found := self.kind(name)) and (kind, found) != ("list of numbers", "list of whole numbers"):
            raise DataError(
                f"column {name} is of another type", path=self.path, value=found, action=f"It must be: {kind}"
            )

    def kind(self, name: str) -> str:
        """``text``, ``whole number``, ``number``, ``list of`` one of these (``list of texts``), or Arrow's own word."""
        return self._kind(self.schema.field(name).type)

    def _kind(self, kind: Any) -> str:
        types = self._types
        if types.is_list(kind) or types.is_large_list(kind):
            return f"list of {self._kind(kind.value_type)}s"
        if types.is_string(kind) or types.is_large_string(kind):
            return "text"
        if types.is_dictionary(kind):
            return self._kind(kind.value_type)
        if types.is_integer(kind):
            return "whole number"
        return "number" if types.is_floating(kind) else str(kind)

    def read(self, read: Callable[[], Any]) -> Any:
        """What ``read`` reads of the file. Raises DataError where its bytes are damaged."""
        try:
            return read()
        except (OSError, ValueError) as error:
            raise DataError(f"damaged: {error}", path=self.path, action="Write it anew") from None

    def texts(self, table: Any, name: str, first: int) -> ArrowTexts:
        """A column of text without empty cells. ``first``: the place of the table's first row in the file."""
        column = table.column(name).combine_chunks()
        lengths = need("pyarrow.compute", "data").utf8_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        if len(empty := np.flatnonzero(lengths == 0)):
            self.fail(first + int(empty[0]), f"{name}: an empty cell")
        return ArrowTexts(column)

    def numbers(self, table: Any, name: str, kind: Any, null: float) -> NDArray[Any]:
        """A column of numbers, ``null`` where there is none."""
        return self._values(table.column(name).combine_chunks(), name, kind, null)

    def lists(
        self, table: Any, name: str, first: int, kind: Any, null: float | None = None
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """A column of lists: pointers int64 [rows + 1], and all values. A row without a list is an error, and so is a
        value that is null, unless ``null`` says what stands for it."""
        column = table.column(name).combine_chunks()
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            self.fail(first + int(missing.argmax()), f"{name}: no list")
        offsets = column.offsets.to_numpy().astype(np.int64)
        values = column.flatten()
        indptr = offsets - offsets[0]
        if null is None and values.null_count:
            nulls = values.is_null().to_numpy(zero_copy_only=False)
            self.check(first, indptr, nulls, None, f"{name}: a value is missing")
        return indptr, self._values(values, name, kind, -1 if null is None else null)

    def _values(self, values: Any, name: str, kind: Any, null: float) -> NDArray[Any]:
        try:
            exact = values.cast(self._arrow.from_numpy_dtype(kind))
        except ValueError as error:
            raise DataError(f"{name}: {error}", path=self.path, action="Use smaller numbers") from None
        if exact.null_count:
            exact = exact.fill_null(kind(null))
        return np.asarray(exact.to_numpy(zero_copy_only=False))

    def check(
        self, first: int, indptr: NDArray[np.integer], bad: NDArray[np.bool_], values: NDArray[Any] | None, what: str
    ) -> None:
        """Raise DataError where a value is bad, naming the row that it is in."""
        if bad.any():
            at = int(bad.argmax())
            row = int(np.searchsorted(indptr, at, side="right")) - 1
            self.fail(first + row, what, None if values is None else values[at].item())

    def fail(self, row: int, what: str, value: object = None) -> NoReturn:
        """Raise DataError about a row, counted from 0 here and from 1 in the message."""
        raise DataError(
            what, path=self.path, line=row + 1, value=value, action="The number behind the file's name is the row's"
        )


class ArrowTexts(Sequence[str]):
    """A column of text; strings are made when they are asked for, so that a million take few bytes each.

    Args:
        column: an Arrow array or chunked array of text without nulls.
    """

    def __init__(self, column: Any) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            return tuple(self.column[at].as_py() for at in range(start, stop, step))
        return str(self.column[place].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK):
            yield from self.column.slice(start, _BLOCK).to_pylist()

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same texts in the same order."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<{len(self):,} texts>"

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The first place of a text. Raises ValueError where it is not there."""
        compute = need("pyarrow.compute", "data")
        end = len(self) if stop is None else stop
        found = int(compute.index(self.column.slice(start, end - start), value).as_py())
        if found < 0:
            raise ValueError(f"{value!r} is not among the texts")
        return start + found
