"""Nested tables as rows for people."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fedrec.console import figure, print_json, show_table

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of words and tables.")]


def flat_rows(tree: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested table as rows of a dotted name and a value for people."""
    rows: list[tuple[str, str]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            rows += flat_rows(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            rows.append((f"{prefix}{name}", "\n".join(str(one) for one in value)))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            rows.append((f"{prefix}{name}", figure(value)))
        else:
            rows.append((f"{prefix}{name}", "" if value is None else str(value)))
    return rows


def tree_of(value: Any) -> dict[str, Any]:
    """A dataclass, or a table, as a table."""
    from dataclasses import asdict, is_dataclass

    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return dict(value)


def tell(title: str, tree: Any, *, as_json: bool) -> None:
    """Print a nested table, as one JSON document or as a table of dotted names for people."""
    if as_json:
        print_json(tree)
    else:
        show_table(title, ("what", "how much"), flat_rows(tree))
