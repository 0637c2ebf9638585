"""A name stands for one thing: no public class or type of the package is defined in two places and means two things."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import fedrec

PACKAGE = Path(fedrec.__file__).parent


def types_of(module: str, source: str) -> Iterator[tuple[str, str]]:
    """(name, what it stands for) of the public classes and type aliases of a module; a class stands for itself."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, f"the class of {module}"
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            meaning = ast.unparse(node.value)
            # A command's option, with its help, is no type.
            if name[0].isupper() and not name.isupper() and not meaning.startswith("Annotated["):
                yield name, meaning


def ambiguous(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Names that stand for several things, and the modules that define them."""
    meanings: dict[str, set[str]] = defaultdict(set)
    places: dict[str, list[str]] = defaultdict(list)
    for module, source in sources.items():
        for name, meaning in types_of(module, source):
            meanings[name].add(meaning)
            places[name].append(module)
    return {name: places[name] for name, found in meanings.items() if len(found) > 1}


def test_no_public_name_of_a_class_or_type_stands_for_two_things() -> None:
    sources = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    assert len(sources) > 200
    assert ambiguous(sources) == {}


def test_what_is_ambiguous_is_found() -> None:
    sources = {
        "a.py": "class Part: ...\nclass One: ...\nSame = list[int]\nOther = list[int]\nLIMIT = 3",
        "b.py": "class Part: ...\nclass _One: ...\nSame = list[int]\nOther = list[float]\nLIMIT = 4",
        "c.py": "One = int",
    }
    assert ambiguous(sources) == {"Part": ["a.py", "b.py"], "One": ["a.py", "c.py"], "Other": ["a.py", "b.py"]}
