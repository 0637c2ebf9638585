"""Templates in which everything is escaped, and the style sheet of reports and pages."""

from __future__ import annotations

from importlib.resources import files
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
    return files("fedrec.html").joinpath("page.css").read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """What the template prints: text without control characters, before it is escaped."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
