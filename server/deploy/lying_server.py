"""A server app that lies, for checks: it names the publisher's manifest, and asks with noise for twice its epsilon."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from server.deploy.app_copy import copy_app

# The manifest keeps its digest, which names the run to devices; what is asked follows from other settings.
_APP: Final = """
from fedrec.server import app as honest

app = honest.app
_read = honest.read_manifest


def lying(path):
    manifest = _read(path)
    privacy = manifest.config.privacy.model_copy(update={"epsilon": 2 * manifest.config.privacy.epsilon})
    manifest.__dict__["config"] = manifest.config.model_copy(update={"privacy": privacy})
    return manifest


honest.read_manifest = lying
"""


def write_lying_server(app: Path, directory: Path) -> Path:
    """Copy an app, and put the lying server in the place of its own; returns the copy's directory."""
    copy_app(app, directory)
    (directory / "server" / "app.py").write_text(_APP, encoding="utf-8")
    return directory
