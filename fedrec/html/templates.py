"""Templates in which everything is escaped, and the style sheet of reports and pages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined
from markupsafe import Markup

from fedrec.console import plain


def environment(loader: BaseLoader | None = None) -> Environment:
    """Templates in which everything is escaped and a missing value is an error. ``loader``: finds them by name."""
    return Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=loader,
    )


def style_sheet() -> str:
    """The style sheet that reports and pages begin with."""
    return resource("fedrec.html", "page.css")


def resource(package: str, name: str) -> str:
    """A text file in the folder of a package.

    A bundle of Flower's, which may hold code and settings only, lacks it: then it is the file of the fedrec that is
    installed beside.  Raises FileNotFoundError where it is nowhere.
    """
    here = Path(__file__).resolve().parents[2]
    for root in (here, *map(Path, sys.path)):
        path = root.joinpath(*package.split("."), name)
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"{package} has no {name}")


def _shown(value: Any) -> Any:
    """What the template prints: text without control characters, before it is escaped."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
