"""Where the release is that somebody means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

RUN_RECORDS: Final = ("run.json", "server.json")


def release_directory(path: str | os.PathLike[str]) -> Path:
    """The directory of a release: ``path`` itself, or, where that is the directory of a run, its ``model``."""
    directory = Path(path).expanduser()
    return directory / "model" if any((directory / name).is_file() for name in RUN_RECORDS) else directory
