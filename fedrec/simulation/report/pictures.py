"""Pictures as data URIs: small JPEGs made anew, so nothing of the file but its picture gets into the report."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Final

from fedrec.content.files import UnreadableError
from fedrec.content.image_decode import open_picture

SIDE: Final = 180


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
            self._made[place] = _thumbnail(place)
        return self._made[place]


def _thumbnail(path: Path) -> str | None:
    try:
        picture = open_picture(path, near=SIDE)
    except UnreadableError:
        return None
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    # Without the original's metadata: a photo's place and time are nobody's business.
    picture.info.clear()
    picture.save(file, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
