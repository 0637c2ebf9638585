"""Small pictures made anew: nothing of a file but its picture, with a known type and a bounded size."""

from __future__ import annotations

import io
from typing import Final

from fedrec.content.files import UnreadableError
from fedrec.content.image_decode import Picture, open_picture

SIDE: Final = 180


def thumbnail(picture: Picture, side: int = SIDE) -> bytes | None:
    """A JPEG of the picture with its longer side at most ``side`` pixels.

    None where there is none to show: it is missing, broken or too large to be decoded.
    """
    if picture is None:
        return None
    try:
        opened = open_picture(picture, near=side)
    except UnreadableError:
        return None
    opened.thumbnail((side, side))
    file = io.BytesIO()
    # Without the original's metadata: a photo's place and time are nobody's business.
    opened.info.clear()
    opened.save(file, "JPEG", quality=82, optimize=True)
    return file.getvalue()
