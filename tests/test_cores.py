"""How many threads: a pure function of cores, quota, others and what was asked; and how these are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.cores import Cores, allowed_cores, busy_others, quota_of

CORES = st.builds(
    Cores,
    online=st.integers(1, 256),
    allowed=st.integers(1, 256),
    quota=st.none() | st.floats(0.01, 256),
    busy=st.floats(0, 1000),
)


@given(CORES)
def test_threads_are_never_more_than_may_be_used_and_never_none(cores: Cores) -> None:
    assert 1 <= cores.threads() <= cores.usable <= cores.allowed
    assert cores.quota is None or cores.threads() <= max(1, cores.quota)


@given(CORES)
def test_threads_fit_beside_the_others_where_anything_is_free(cores: Cores) -> None:
    assert cores.threads() == 1 or cores.threads() + round(cores.busy) <= cores.online


@given(CORES, st.integers(1, 512))
def test_what_a_user_asks_for_is_what_there_is(cores: Cores, asked: int) -> None:
    assert cores.threads(asked) == asked


@given(CORES, st.floats(0, 100))
def test_more_others_never_give_more_threads(cores: Cores, more: float) -> None:
    busier = Cores(cores.online, cores.allowed, cores.quota, cores.busy + more)
    assert busier.threads() <= cores.threads()


@pytest.mark.parametrize(
    ("cores", "threads"),
    [
        (Cores(2, 2, None, 0), 2),
        (Cores(2, 2, None, 1), 1),
        (Cores(2, 2, None, 7), 1),
        (Cores(8, 8, None, 3), 5),
        (Cores(8, 4, None, 3), 4),
        (Cores(8, 8, 1.5, 0), 1),
        (Cores(8, 8, 0.5, 0), 1),
        (Cores(64, 64, 4.0, 62), 2),
    ],
)
def test_examples(cores: Cores, threads: int) -> None:
    assert cores.threads() == threads


def test_this_machine_can_be_read() -> None:
    cores = Cores.here()
    assert 1 <= cores.usable <= allowed_cores() <= cores.online
    assert cores.busy >= 0


@pytest.mark.parametrize(
    ("own", "parent", "quota"),
    [
        ("150000 100000", "max 100000", 1.5),
        ("max 100000", "50000 100000", 0.5),
        ("200000 100000", "100000 100000", 1.0),
    ],
)
def test_the_least_limit_of_a_control_group_and_its_parents_counts(
    own: str, parent: str, quota: float, tmp_path: Path
) -> None:
    (tmp_path / "groups" / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "groups" / "outer" / "inner" / "cpu.max").write_text(f"{own}\n")
    (tmp_path / "groups" / "outer" / "cpu.max").write_text(f"{parent}\n")
    (tmp_path / "membership").write_text("0::/outer/inner\n")
    assert quota_of(tmp_path / "groups", tmp_path / "membership") == quota


def test_control_groups_of_version_1_are_read_too(tmp_path: Path) -> None:
    group = tmp_path / "cpu" / "job"
    group.mkdir(parents=True)
    (tmp_path / "membership").write_text("4:memory:/other\n2:cpu,cpuacct:/job\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    for text, quota in (("250000", 2.5), ("-1", None)):
        (group / "cpu.cfs_quota_us").write_text(f"{text}\n")
        assert quota_of(tmp_path, tmp_path / "membership") == quota


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert quota_of(tmp_path, tmp_path / "nothing") is None
    (tmp_path / "membership").write_text("nonsense\n0::/../../elsewhere\n")
    assert quota_of(tmp_path, tmp_path / "membership") is None


def test_others_are_those_who_run_but_for_who_looks(tmp_path: Path) -> None:
    statistics = tmp_path / "stat"
    for running, others in ((1, 0), (4, 3), (0, 0)):
        statistics.write_text(f"cpu 1 2 3\nprocs_running {running}\nprocs_blocked 0\n")
        assert busy_others(statistics) == others
    assert busy_others(tmp_path / "nothing") >= 0
