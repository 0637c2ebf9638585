"""Thread pools are told how many they are and how to wait before NumPy is loaded, and a user's word stands."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.cores import Cores
from fedrec.simulation.workers import process_pool
from fedrec.thread_settings import COUNTS, WAITING, one_thread, settle_threads

NAMES = (*COUNTS, *WAITING)
FREE = Cores(8, 8, None, 2)
# Prints, at the moment when NumPy is first looked for, what its thread pool would be told.
SPY = """
import os, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            print([os.environ.get(name) for name in %r])
sys.meta_path.insert(0, Spy())
%s
"""


def python(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def without_ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NAMES}


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1", "3", "active", ""])))
def test_what_a_user_has_set_stays(user: dict[str, str]) -> None:
    environment = dict(user)
    added = settle_threads(environment, FREE)
    assert all(environment[name] == value for name, value in user.items() if value)
    assert added == {name: value for name, value in environment.items() if user.get(name) != value}
    counted = any(user.get(name) for name in COUNTS)
    assert {name for name in COUNTS if name in added} == (set() if counted else set(COUNTS))
    assert settle_threads(environment, FREE) == {}


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1", "3", "active"])))
def test_one_thread_leaves_the_environment_as_it_was(before: dict[str, str]) -> None:
    environment = dict(before)
    with one_thread(environment):
        assert {environment[name] for name in COUNTS} == {"1"}
    assert environment == before


def test_pools_are_told_before_numpy_is_loaded() -> None:
    told = python(SPY % (NAMES, "import fedrec.cli.main\nimport numpy"), without_ours())
    counts = ast.literal_eval(told)[: len(COUNTS)]
    assert len(set(counts)) == 1
    assert int(counts[0]) >= 1
    assert ast.literal_eval(told)[len(COUNTS) :] == list(WAITING.values())


@pytest.mark.parametrize("app", ["server/app.py", "client/app.py", "fedrec/cli/main.py"])
def test_whatever_starts_a_process_imports_the_settings_first(app: str) -> None:
    tree = ast.parse((Path(__file__).parent.parent / app).read_text(encoding="utf-8"))
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    first = next(one for one in imports if not one.startswith("from __future__"))
    assert first == "import fedrec.process_start"


def test_a_library_leaves_the_environment_alone() -> None:
    code = "import os\nbefore = dict(os.environ)\nimport fedrec\nfedrec.Config\nprint(before == dict(os.environ))"
    assert python(code, without_ours()) == "True"


def threads_here(_: int) -> tuple[int, list[str | None]]:
    import torch

    return torch.get_num_threads(), [os.environ.get(name) for name in COUNTS]


def test_workers_of_a_pool_compute_with_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with process_pool(2) as pool:
        found = list(pool.map(threads_here, range(2)))
    assert found == [(1, ["1"] * len(COUNTS))] * 2
    assert os.environ["OMP_NUM_THREADS"] == "4"


@pytest.mark.parametrize("first", [True, False])
def test_torch_is_told_how_many_whether_it_is_loaded_before_or_after(first: bool) -> None:
    loaded = "import torch\n" if first else ""
    code = f"""{loaded}import sys
from fedrec.thread_settings import threads_here, use_threads
use_threads(1)
assert ("torch" in sys.modules) is {first}
assert threads_here() == 1
import torch
print(torch.get_num_threads())
"""
    assert python(code, without_ours() | {"OMP_NUM_THREADS": "2"}) == "1"


def test_a_run_that_trains_nothing_never_loads_torch(tmp_path: Path) -> None:
    code = f"""import sys
import fedrec
fedrec.make_shop({str(tmp_path / "shop")!r}, users=30, items=140)
fedrec.simulate("ml100k-fedrec-eps8", {str(tmp_path / "shop")!r}, out={str(tmp_path / "out")!r})
print("torch" in sys.modules)
"""
    assert python(code, without_ours()) == "False"
    assert (tmp_path / "out" / "run.json").is_file()
