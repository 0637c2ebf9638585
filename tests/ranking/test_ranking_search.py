"""Searching item vectors: by a full pass over rows, and by a compact table."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking.best import Best
from fedrec.ranking.block_workers import BlockWorkers
from fedrec.ranking.compact_search import CompactSearch
from fedrec.ranking.compact_table import KINDS, CompactTable, Kind
from fedrec.ranking.row_search import RowSearch

Floats32 = NDArray[np.float32]


def by_sorting(scores: Floats32, k: int, ties: NDArray[np.int64] | None, seen: list[int]) -> list[int]:
    """The plain reference: all scores sorted."""
    order = np.arange(len(scores)) if ties is None else ties
    return [i for i in np.lexsort((order, -scores)).tolist() if i not in set(seen)][:k]


def whole_numbers(items: int, width: int, seed: int) -> tuple[Floats32, Floats32]:
    """Vectors and a user whose products are exact in float32, with many ties."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, (items, width)).astype(np.float32)
    return rows, rng.integers(-3, 4, width).astype(np.float32)


CASES = st.tuples(
    st.integers(1, 90), st.integers(1, 9), st.integers(1, 100), st.integers(1, 40), st.integers(0, 2**31), st.booleans()
)


@settings(deadline=None)
@given(CASES, st.sampled_from([np.float32, np.float16]), st.integers(1, 3))
def test_a_pass_over_rows_finds_what_sorting_finds(case: tuple[int, ...], kind: type, threads: int) -> None:
    items, width, k, block, seed, tied = case
    rows, user = whole_numbers(items, width, seed)
    rng = np.random.default_rng(seed)
    ties = rng.permutation(items) if tied else None
    seen = rng.integers(0, items, rng.integers(0, items + 1)).tolist()
    search = RowSearch(rows.astype(kind), threads=threads)
    search._block, search._piece = block, 1 + block % 5
    found = search.top(user, k, ties=ties, seen=np.array(seen, dtype=np.int32))
    assert found.places.tolist() == by_sorting(rows @ user, k, ties, seen)
    assert found.scores.tolist() == (rows @ user)[found.places].tolist()


@settings(deadline=None)
@given(CASES, st.sampled_from(KINDS), st.integers(1, 3), st.booleans())
def test_a_compact_table_finds_what_sorting_finds(
    case: tuple[int, ...], kind: Kind, threads: int, with_rows: bool
) -> None:
    items, width, k, block, seed, tied = case
    rows, user = whole_numbers(items, width, seed)
    rng = np.random.default_rng(seed)
    if kind == "int8" and not with_rows:
        rows[:, 0] = 127.0 * rng.choice([-1, 1], items)  # then a scale is 1, and whole numbers are held exactly
    ties = rng.permutation(items) if tied else None
    seen = rng.integers(0, items, rng.integers(0, items + 1)).tolist()
    table = CompactTable.of(rows, kind, block=block)
    found = CompactSearch(table, rows if with_rows else None, threads=threads).top(
        user, k, ties=ties, seen=np.array(seen, dtype=np.int64)
    )
    assert found.places.tolist() == by_sorting(rows @ user, k, ties, seen)
    assert found.scores.tolist() == (rows @ user)[found.places].tolist()


def drawn(items: int, width: int, seed: int = 0) -> tuple[Floats32, Floats32]:
    rng = np.random.default_rng(seed)
    spread = np.geomspace(1, 0.1, width)
    rows = (rng.standard_normal((items, width)) * spread + rng.standard_normal(width)).astype(np.float32)
    return rows, rng.standard_normal(width).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_vectors_at_hand_a_compact_table_loses_nothing(kind: Kind) -> None:
    rows, _ = drawn(3000, 48)
    search = CompactSearch(CompactTable.of(rows, kind, block=700), rows)
    for seed in range(20):
        user = np.random.default_rng(seed).standard_normal(48).astype(np.float32)
        exact = np.sort(rows.astype(np.float64) @ user)[::-1][:10]
        found = search.top(user, 10)
        np.testing.assert_allclose(np.sort(rows[found.places].astype(np.float64) @ user)[::-1], exact, rtol=1e-5)


def test_dimensions_are_left_unread_and_nothing_is_missed() -> None:
    rows, user = drawn(4000, 64)
    user[10:] *= 0.01
    search = CompactSearch(CompactTable.of(rows), rows)
    chosen = search._query(user, Best(1)).chosen
    assert chosen is not None and len(chosen) < 15
    assert search.top(user, 20).places.tolist() == RowSearch(rows).top(user, 20).places.tolist()


def test_int8_is_off_by_half_a_scale_a_number_at_most() -> None:
    rows, user = drawn(500, 32)
    rows[7] = 0.0
    table = CompactTable.of(rows)
    found = CompactSearch(table).top(user, 500)
    scale = np.abs(rows).max(axis=1) / 127
    off = np.abs(found.scores - (rows.astype(np.float64) @ user)[found.places])
    assert (off <= 0.5001 * scale[found.places] * np.abs(user).sum() + 1e-4).all()
    assert table.nbytes < rows.nbytes / 2


def test_allowing_for_less_reads_less() -> None:
    rows, user = drawn(2000, 64)
    table = CompactTable.of(rows)
    all_of_it, part = (CompactSearch(table, rows, rest=rest)._query(user, Best(1)) for rest in (1.0, 0.5))
    assert len(part.weights) < len(all_of_it.weights)
    with pytest.raises(ModelError, match="allowed for"):
        CompactSearch(table, rows, rest=0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    rows, user = whole_numbers(50, 4, 1)
    rows[31, 2] = bad
    user[:] = 1.0
    with pytest.raises(ModelError, match="not finite"):
        RowSearch(rows, threads=2).top(user, 3)
    with pytest.raises(ModelError, match="not finite"):
        CompactTable.of(rows)
    for search in (RowSearch(rows), CompactSearch(CompactTable.of(rows[:31]))):
        with pytest.raises(ModelError, match="finite vector of width 4"):
            search.top(np.full(4, bad), 3)
        with pytest.raises(ModelError, match="width 4"):
            search.top(np.ones(5), 3)
        with pytest.raises(ModelError, match="one place"):
            search.top(user, 0)


def test_a_table_is_made_of_vectors_that_it_can_hold() -> None:
    with pytest.raises(ModelError, match="one item"):
        CompactTable.of(np.zeros((0, 4), dtype=np.float32))
    with pytest.raises(ModelError, match="too large"):
        CompactTable.of(np.full((2, 4), 1e6, dtype=np.float32), "float16")
    with pytest.raises(ModelError, match="float32 or float16"):
        RowSearch(np.zeros((3, 4)))
    with pytest.raises(ModelError, match="3 items"):
        CompactSearch(CompactTable.of(np.ones((3, 4), dtype=np.float32)), np.ones((4, 4), dtype=np.float32))


def test_a_saved_table_is_mapped_and_finds_the_same(tmp_path: Path) -> None:
    rows, user = drawn(900, 16)
    table = CompactTable.of(rows, block=128)
    table.save(tmp_path / "compact")
    opened = CompactTable.open(tmp_path / "compact")
    assert isinstance(opened.values, np.memmap)
    found, again = CompactSearch(table).top(user, 7), CompactSearch(opened).top(user, 7)
    assert found.places.tolist() == again.places.tolist() and found.scores.tolist() == again.scores.tolist()
    (tmp_path / "compact" / "scale.npy").write_bytes(b"none")
    for place in (tmp_path / "compact", tmp_path / "nowhere"):
        with pytest.raises(ModelError, match="no compact table"):
            CompactTable.open(place)
    with pytest.raises(ModelError, match="do not fit"):
        CompactTable(table.values, table.reach, table.scale[:1], 900)


def test_memory_grows_with_neither_the_catalogue_nor_k(tmp_path: Path) -> None:
    def peak(items: int, k: int) -> int:
        path = tmp_path / f"{items}.npy"
        if not path.exists():
            np.save(path, drawn(items, 32)[0])
            CompactTable.of(np.load(path)).save(tmp_path / str(items))
        rows = np.load(path, mmap_mode="r")
        searches = RowSearch(rows, threads=1), CompactSearch(CompactTable.open(tmp_path / str(items)), rows, threads=1)
        tracemalloc.start()
        for search in searches:
            search.top(np.linspace(-1, 1, 32), k)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(160_000, 10) < 1.2 * peak(80_000, 10)
    assert peak(160_000, 100) < 1.2 * peak(160_000, 10)


def test_workers_do_each_block_once_and_raise_what_was_raised() -> None:
    done: list[int] = []
    BlockWorkers(3).run(50, done.append)
    assert sorted(done) == list(range(50))
    with pytest.raises(ZeroDivisionError):
        BlockWorkers(2).run(5, lambda block: 1 // (block - 3))
    BlockWorkers(2).run(0, done.append)


def test_searching_needs_no_torch() -> None:
    code = (
        "import sys; import numpy as np; from fedrec.ranking.compact_search import CompactSearch;"
        "from fedrec.ranking.compact_table import CompactTable; from fedrec.ranking.row_search import RowSearch;"
        "rows = np.ones((9, 4), dtype=np.float32); RowSearch(rows).top(rows[0], 3);"
        "CompactSearch(CompactTable.of(rows), rows).top(rows[0], 3); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
