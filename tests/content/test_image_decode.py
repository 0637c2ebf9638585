from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedrec.content.files import LARGEST_FILE, UnreadableError
from fedrec.content.image_decode import decode_batch, open_picture
from fedrec.testing.encoders import picture


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


JPEG = picture(4, kind="JPEG", size=(96, 96))
BAD = {
    "empty": (b"", "empty"),
    "text": (b"<html>not found</html>", "not a picture"),
    "truncated": (JPEG[: len(JPEG) // 2], "cannot be decoded"),
    "only a header": (JPEG[:20], "picture"),
    "bomb": (claiming(100_000, 100_000), "too large"),
    "long and thin": (claiming(30_000, 1), "too large"),
    "no pixels": (claiming(8, 8), "cannot be decoded"),
    "another format": (b"P6 1 1 255\n\x00\x00\x00", "not a picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "huge file": (JPEG + bytes(LARGEST_FILE), "larger than"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_bad_pictures_have_a_reason(data: bytes, reason: str, as_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=reason):
        open_picture(path if as_file else data)


def test_a_missing_file_and_a_directory_have_a_reason(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path, Path("a\0b.jpg")):
        with pytest.raises(UnreadableError, match="cannot be read"):
            open_picture(path)


@given(st.integers(0, len(JPEG) - 1), st.binary(min_size=1, max_size=8), st.sampled_from(["cut", "overwrite"]))
@settings(max_examples=150, deadline=None)
def test_any_damage_gives_a_picture_or_a_reason(place: int, noise: bytes, how: str) -> None:
    data = JPEG[:place] if how == "cut" else JPEG[:place] + noise + JPEG[place + len(noise) :]
    pixels, aspect, present, problems = decode_batch([data], 16)
    assert present[0] != bool(problems)
    assert np.isfinite(aspect).all() and (present[0] or not pixels.any())


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_noise_is_never_a_crash(data: bytes) -> None:
    _, _, present, problems = decode_batch([data], 16)
    assert present[0] != bool(problems)


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    upright = np.asarray(open_picture(file_of(image, "JPEG", exif=exif, quality=95)))
    assert upright.shape == (40, 20, 3)
    assert upright[:15].min() > 230 and upright[25:].max() < 25


def test_transparency_lies_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    pixels = np.asarray(open_picture(file_of(image)))
    assert pixels[0, 0].tolist() == [255, 0, 0] and pixels[3, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image = open_picture(file_of(Image.new("RGB", (5, 6), "white").convert(mode), kind))
    assert image.mode == "RGB" and image.size == (5, 6)
    assert np.asarray(image).min() > 250


def test_sixteen_bit_greys_keep_their_brightness() -> None:
    grey = Image.fromarray(np.array([[0, 32896, 65535]], np.uint16))
    assert np.asarray(open_picture(file_of(grey)))[0, :, 0].tolist() == [0, 128, 255]


def test_the_first_frame_of_an_animation_is_taken() -> None:
    first, second = Image.new("RGB", (4, 4), "blue"), Image.new("RGB", (4, 4), "red")
    pixels = np.asarray(open_picture(file_of(first, "GIF", save_all=True, append_images=[second])))
    assert pixels[0, 0].tolist() == [0, 0, 255]


def test_batch_keeps_places_and_aspect() -> None:
    wide = file_of(Image.new("RGB", (40, 20), (9, 9, 9)))
    pixels, aspect, present, problems = decode_batch([None, wide, b""], 8)
    assert present.tolist() == [False, True, False]
    assert pixels.shape == (3, 8, 8, 3) and np.unique(pixels[1]).tolist() == [9]
    assert aspect.tolist() == pytest.approx([0, np.log(2), 0])
    assert [(problem.place, problem.reason) for problem in problems] == [(2, "file is empty")]
