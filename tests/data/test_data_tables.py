"""Tables of text are read in blocks: the same cells and lines as the csv module gives, row by row."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrec.data import tables
from fedrec.data.tables import ATOMIC, CSV, Dialect, Table
from fedrec.data.tally import Tally
from fedrec.errors import DataError

CELLS = st.text(alphabet=st.sampled_from(list('ab1.-ü \t,"\r\n')), max_size=4)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def quoted(cell: str) -> str:
    plain = not set(cell) & set(',"\r\n')
    return cell if plain else '"' + cell.replace('"', '""') + '"'


def row_by_row(path: Path, dialect: Dialect) -> tuple[list[tuple[int, tuple[str, ...]]], list[int]]:
    """What is read and what is lost, each with its line, one row after the other."""
    kept: list[tuple[int, tuple[str, ...]]] = []
    lost: list[int] = []
    with path.open(encoding="utf-8", newline="") as file:
        quoting = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
        reader = csv.reader(file, delimiter=dialect.delimiter, quoting=quoting, strict=True)
        width, end = len(next(reader)), reader.line_num
        for row in reader:
            if len(row) == width:
                kept.append((end + 1, tuple(row)))
            elif row:
                lost.append(end + 1)
            end = reader.line_num
    return kept, lost


def in_blocks(path: Path, dialect: Dialect) -> tuple[list[tuple[int, tuple[str, ...]]], list[int]]:
    skipped: list = []  # type: ignore[type-arg]
    tally = Tally(path, skipped)
    found: list[tuple[int, tuple[str, ...]]] = []
    for chunk in Table(path, dialect).chunks(tally):
        found += zip(chunk.lines.tolist(), zip(*chunk.columns, strict=True), strict=True)
    assert tally.rows == len(found) + len(skipped)
    return found, [one.line for one in skipped]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(CELLS, min_size=0, max_size=3), max_size=12),
    end=ENDS,
    columns=st.integers(1, 3),
    last=st.booleans(),
)
def test_blocks_are_what_rows_are(
    rows: list[list[str]], end: str, columns: int, last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 3)
    path = tmp_path / "table.csv"
    lines = [",".join(f"c{place}" for place in range(columns)), *(",".join(map(quoted, row)) for row in rows)]
    path.write_text(end.join(lines) + end * last, encoding="utf-8", newline="")
    assert in_blocks(path, CSV) == row_by_row(path, CSV)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(st.text(alphabet='ab"1 ', max_size=3), min_size=0, max_size=3), max_size=12), end=ENDS)
def test_without_quotes_a_quote_is_a_character(
    rows: list[list[str]], end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 3)
    path = tmp_path / "table.inter"
    path.write_text(end.join(["a\tb", *("\t".join(row) for row in rows)]) + end, encoding="utf-8", newline="")
    assert in_blocks(path, ATOMIC) == row_by_row(path, ATOMIC)


@pytest.mark.parametrize("before", [0, 1, 2, 3, 7])
def test_a_broken_cell_is_told_by_the_line_that_its_row_starts_in(
    before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 3)
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + 'x,"two\nlines"\n' * before + 'x,"y"z\n', encoding="utf-8")
    with pytest.raises(DataError, match="broken quoting") as caught:
        in_blocks(path, CSV)
    assert f"line {2 + 2 * before}" in str(caught.value) or f":{2 + 2 * before}" in str(caught.value)
