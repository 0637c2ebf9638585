"""Nothing but a query's own two modules and the registry names a query: no ladder of ifs, no table by name."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fedrec
from fedrec.queries.registry import QUERIES

ROOT = Path(fedrec.__file__).parent
NAMES = frozenset(QUERIES.names())
SOURCES = sorted(path for path in ROOT.rglob("*.py") if "queries" not in path.relative_to(ROOT).parts)


def about_a_query(node: ast.AST) -> bool:
    """Whether an expression is a query's name as something holds it: ``query``, ``request.query``, ``row["query"]``."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return "query" in name.lower()
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return "query" in name.lower()
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return "query" in name.lower()
    return False


def constants(node: ast.AST) -> set[str]:
    """The query names among the constants of an expression."""
    found = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return {value for value in found if value in NAMES}


def ladders(tree: ast.AST) -> Iterator[int]:
    """Lines where code decides by the name of a query: a comparison, a match, or a table of two names or more."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                sides = [left, *others]
                if any(about_a_query(side) for side in sides) and any(constants(side) for side in sides):
                    yield node.lineno
            case ast.Match(subject=subject, cases=cases):
                if about_a_query(subject) and any(constants(case.pattern) for case in cases):
                    yield node.lineno
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
                holds = isinstance(value, ast.Attribute | ast.Name) and "cost" in ast.unparse(value).lower()
                if name in NAMES and holds:
                    yield node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_decides_by_the_name_of_a_query(path: Path) -> None:
    assert list(ladders(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        'if request.query == "training": pass',
        'x = 1 if "popularity" == query else 2',
        'if row["query"] in ("directions", "factors"): pass',
        'match request.query:\n    case "metrics": pass',
        'noise = self.costs["training"]',
        'if line.get("query") != "validation": pass',
    ],
)
def test_a_ladder_is_found(code: str) -> None:
    assert list(ladders(ast.parse(code)))


def test_each_query_is_two_modules_that_say_what_leaves_what_it_costs_who_checks_and_what_is_made_of_it() -> None:
    """The files that somebody opens to answer the four questions: two, for each query."""
    for name in QUERIES.names():
        shared = Path(sys.modules[type(QUERIES[name]).__module__].__file__ or "")
        device = ROOT.parent / (QUERIES[name].encoder.partition(":")[0].replace(".", "/") + ".py")
        said = ast.get_docstring(ast.parse(shared.read_text(encoding="utf-8"))) or ""
        for question in ("*What leaves*", "*What it costs*", "*Who checks it*", "*What is made of it*"):
            assert question in said, (name, question)
        assert "def encode(" in device.read_text(encoding="utf-8")
        assert shared.stem == device.stem


def test_the_server_never_loads_a_device_half() -> None:
    code = (
        "import sys\n"
        "import fedrec.server.run, fedrec.server.federate, fedrec.queries.plan\n"
        "from fedrec.queries.registry import QUERIES\n"
        "list(QUERIES)\n"
        "halves = ('fedrec.queries.device', 'fedrec.training', 'fedrec.client')\n"
        "bad = [name for name in sys.modules if name.startswith(halves)]\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
