"""A copy of the app with nothing else in it.

Flower looks at every file below an app's directory, a virtual environment's too, each time that it packs the app: in a
clone that is set up this takes a quarter of a minute of processor time a run.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_app(app: Path, directory: Path) -> Path:
    """Copy what a bundle has, from a clone to a new directory; returns that directory."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("fedrec", "client"):
        shutil.copytree(app / name, directory / name, ignore=ignored)
    (directory / "server").mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md", "server/__init__.py", "server/app.py"):
        shutil.copy(app / name, directory / name)
    return directory
