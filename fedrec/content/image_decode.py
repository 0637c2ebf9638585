"""A picture file to an upright RGB picture, or the reason why not. Files are taken as hostile.

Only a few well-known formats are tried, the size is checked before pixels are decoded (a small file can claim a
picture that fills the memory), and whatever a decoder raises becomes a reason.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fedrec.content.encoder import Problem
from fedrec.content.files import File, UnreadableError, read_file

Picture = File

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 20_000
# To which pictures are resized: what settings allow, and what a saved encoder may ask for.
LARGEST_SIDE = 512


class _WithoutWarnings:
    """No warnings while any thread is within: Python's filters are one for all threads, and so are put back last."""

    def __init__(self) -> None:
        self._lock, self._within, self._caught = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._within:
                self._caught.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._within += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                self._caught.close()


_WITHOUT_WARNINGS: Final = _WithoutWarnings()


def open_picture(picture: bytes | Path, *, near: int = 0) -> Image.Image:
    """Decode into RGB, turned as its EXIF orientation says, transparency laid on white; the first frame of many.

    ``near``: the side that is needed; a JPEG may come back smaller than it is, but with no side below it.

    Raises:
        UnreadableError: see the module.
    """
    data = read_file(picture)
    try:
        with _WITHOUT_WARNINGS:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            width, height = image.size
            if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
                raise UnreadableError(f"picture of {width} x {height} pixels is too large")
            if near:
                image.draft("RGB", (near, near))
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError(f"not a picture in {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise UnreadableError("picture is too large") from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise UnreadableError(f"picture cannot be decoded: {str(error)[:80] or type(error).__name__}") from None


def decode_batch(
    batch: Sequence[Picture], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], list[Problem]]:
    """Decode pictures and resize each to a square.

    Returns:
        pixels uint8 [n, side, side, 3], zeros where not present; log of width over height float32 [n]; present
        bool [n]; and the pictures that were there but unreadable, with reasons.
    """
    pixels = np.zeros((len(batch), side, side, 3), np.uint8)
    aspect = np.zeros(len(batch), np.float32)
    present = np.zeros(len(batch), np.bool_)
    problems = []
    for place, picture in enumerate(batch):
        if picture is None:
            continue
        try:
            image = open_picture(picture, near=side)
        except UnreadableError as error:
            problems.append(Problem(place, str(error)))
            continue
        aspect[place] = np.log(image.width / image.height)
        pixels[place] = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))
        present[place] = True
    return pixels, aspect, present, problems


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled_to_bytes(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")


def _scaled_to_bytes(image: Image.Image) -> Image.Image:
    """Greys of more than 8 bits: 16-bit values by their high byte, real ones from 0 to 1."""
    values = np.asarray(image, np.float64)
    scaled = values * 255 if image.mode == "F" else values / 257
    return Image.fromarray(np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)).convert("RGB")
