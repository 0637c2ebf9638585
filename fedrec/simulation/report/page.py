"""What every report is made with: files of this folder, and a policy for scripts."""

from __future__ import annotations

import base64
import hashlib
import json

from fedrec.console import jsonable
from fedrec.html import templates


def resource(name: str) -> str:
    """A text file of this folder."""
    return templates.resource("fedrec.simulation.report", name)


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
