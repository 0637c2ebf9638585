"""No module of the package imports itself by way of others, not even inside a function or for its types only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fedrec

PACKAGE = Path(fedrec.__file__).parent


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name -> file of every module; a package is its ``__init__``."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(source: str, module: str, known: frozenset[str]) -> Iterator[str]:
    """Names of known modules that a source text imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import, which this test cannot follow"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The modules of one circle in order, the first one again at its end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def graph_of(sources: Mapping[str, str]) -> dict[str, set[str]]:
    known = frozenset(sources)
    return {name: set(imported(text, name, known)) & known - {name} for name, text in sources.items()}


def test_there_is_no_circle() -> None:
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules_of(PACKAGE).items()}
    assert len(sources) > 200
    found = circle(graph_of(sources))
    assert not found, " imports ".join(reversed(found))


@pytest.mark.parametrize(
    "back",
    [
        "from p.a import thing",
        "import p.a",
        "from p import a",
        "def late():\n    from p.a import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import Thing",
    ],
)
def test_a_circle_is_found_however_it_is_hidden(back: str) -> None:
    sources = {"p": "", "p.a": "from p.b import other", "p.b": "from p.c import third", "p.c": back}
    assert set(circle(graph_of(sources))) == {"p.a", "p.b", "p.c"}
    assert not circle(graph_of({**sources, "p.c": "import json"}))
