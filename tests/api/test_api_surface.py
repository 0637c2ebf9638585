"""What `import fedrec` offers: every name is real, documented, seen by type checkers, and loaded when it is used."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fedrec

HEAVY = ("torch", "numpy", "scipy", "pydantic", "flwr", "ray", "opacus", "dp_accounting", "plotly", "pandas", "polars")


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        "import sys; import fedrec; dir(fedrec); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], "
        "[name for name in sys.modules if name.startswith('fedrec.')])"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "[] []\n"


@pytest.mark.slow
def test_the_optional_libraries_are_loaded_by_nothing_that_does_not_need_them() -> None:
    code = (
        "import sys; import fedrec; [getattr(fedrec, name) for name in fedrec.__all__]; "
        "fedrec.read_data({'user': ['a', 'b'], 'item': ['x', 'y']}, catalogue_from_interactions=True); "
        "print([name for name in ('pandas', 'polars', 'pyarrow', 'plotly', 'ray') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "[]\n"


@pytest.mark.slow
def test_what_operators_and_devices_use_needs_no_simulation_and_no_network() -> None:
    names = ("open_release", "plan", "plan_target", "statement", "verify", "load_config", "read_data", "Run")
    code = (
        f"import sys; import fedrec; [getattr(fedrec, name) for name in {names!r}]; "
        "print([name for name in ('fedrec.simulation', 'fedrec.cli', 'flwr') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "[]\n"


def test_every_name_can_be_had_and_is_documented() -> None:
    assert list(fedrec.__all__) == sorted(fedrec.__all__)
    assert set(fedrec.__all__) <= set(dir(fedrec))
    for name in fedrec.__all__:
        found = getattr(fedrec, name)
        assert inspect.getdoc(found), name
        assert name in (fedrec.__doc__ or "") or issubclass(found, fedrec.FedrecError), name
    assert fedrec.__version__
    with pytest.raises(AttributeError, match="no attribute 'recomend'"):
        fedrec.recomend  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    tree = ast.parse(Path(inspect.getfile(fedrec)).read_text(encoding="utf-8"))
    (seen,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module for node in seen.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == fedrec._LAZY
    assert set(imported) == set(fedrec.__all__)


def test_no_name_is_hidden_by_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(fedrec.__path__)}
    assert "audit" in modules
    assert not modules & set(fedrec.__all__)


def test_every_argument_is_described() -> None:
    for name in fedrec.__all__:
        found = getattr(fedrec, name)
        if inspect.isfunction(found) and not name.startswith("register_"):
            text = inspect.getdoc(found) or ""
            for argument in inspect.signature(found).parameters:
                assert f"{argument}: " in text or f"``{argument}``" in text, (name, argument)
