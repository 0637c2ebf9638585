"""What every page of this project is made with: escaping templates, files of this folder, and a policy for scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fedrec.console import jsonable, plain


def environment() -> Environment:
    """Templates in which everything is escaped and a missing value is an error."""
    return Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )


def _shown(value: Any) -> Any:
    """What the template prints: text without control characters, before it is escaped."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def resource(name: str) -> str:
    """A text file of this folder, or, where this code came in a bundle of Flower's, which may hold code and settings
    only, of the same folder of the fedrec that is installed."""
    installed = (Path(entry, *__name__.split(".")[:-1]) for entry in sys.path)
    for folder in (Path(__file__).parent, *installed):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise FileNotFoundError(name)


def plotly() -> str:
    """The library's source, to be written into the page."""
    from plotly.offline import get_plotlyjs  # imported late: it takes half a second

    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


def policy(*scripts: str) -> str:
    """A content security policy under which only these scripts run and nothing is fetched."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def script_json(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(jsonable(value), allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e")
