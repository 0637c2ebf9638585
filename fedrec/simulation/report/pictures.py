"""Pictures as data URIs: small JPEGs made anew, so nothing of the file but its picture gets into the report."""

from __future__ import annotations

import base64
from pathlib import Path

from fedrec.content.thumbnail import thumbnail


class ReportPictures:
    """Thumbnails by path, each made once."""

    def __init__(self) -> None:
        self._made: dict[Path, str | None] = {}

    def uri(self, path: Path | str | None) -> str | None:
        """The picture as a ``data:`` URI with its longer side at most 180 pixels; None where there is none to show.

        A missing, broken or oversized file gives None: a report is not where a bad picture should stop a run.
        """
        if not path:
            return None
        place = Path(path)
        if place not in self._made:
            self._made[place] = _uri(place)
        return self._made[place]


def _uri(path: Path) -> str | None:
    picture = thumbnail(path)
    return None if picture is None else "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")
