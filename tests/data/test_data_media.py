"""Sounds and frames of videos beside the items."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedrec.data.reader import read_dataset
from fedrec.data.schema import Skipped
from fedrec.errors import DataError

WriteDirectory = Callable[..., Path]


def test_sounds_and_frames_are_found_by_name(write_directory: WriteDirectory) -> None:
    directory = write_directory()
    sounds, videos = directory / "sounds", directory / "videos"
    for folder in (sounds, videos / "a", videos / "b", videos / "z"):
        folder.mkdir(parents=True)
    for name, raw in {"a.wav": b"x", "b.WAV": b"x", "c.wav": b"", "d.mp3": b"x", "z.wav": b"x"}.items():
        (sounds / name).write_bytes(raw)
    for name in ("10.jpg", "2.jpg", "1.png", "cover.jpg", f"{'9' * 5000}.jpg"[-200:], "notes.txt"):
        (videos / "a" / name).write_bytes(b"x")
    (videos / "b" / "1.jpg").write_bytes(b"")
    dataset = read_dataset(directory)
    assert [item.sound for item in dataset.items] == [sounds / "a.wav", sounds / "b.WAV", None, None]
    names = [frame.name for frame in dataset.items[0].frames]
    assert names[:3] == ["1.png", "2.jpg", "10.jpg"] and set(names[3:]) >= {"cover.jpg"} and len(names) == 5
    assert [item.frames for item in dataset.items[1:]] == [(), (), ()]
    assert set(dataset.skipped[-4:]) == {
        Skipped("sounds/c.wav", 0, "zero-byte sound"),
        Skipped("sounds/z.wav", 0, "sound of an unknown item"),
        Skipped("videos/b/1.jpg", 0, "zero-byte picture"),
        Skipped("videos/z", 0, "video of an unknown item"),
    }


@pytest.mark.parametrize("name", ["images", "sounds", "videos", "photos"])
def test_a_folder_that_is_a_file_is_refused(name: str, write_directory: WriteDirectory) -> None:
    directory = write_directory()
    (directory / name).write_bytes(b"x")
    with pytest.raises(DataError, match=f"{name} is a file"):
        read_dataset(directory)
