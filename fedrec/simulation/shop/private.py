"""What users keep to themselves: notes and photos, which show their taste in words and in looks."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.simulation.shop.latents import TEXT, VISUAL, Floats32, stream
from fedrec.simulation.shop.people import user_id
from fedrec.simulation.shop.pictures import OUTLINES, draw_picture
from fedrec.simulation.shop.words import note

MOST_NOTES = 3
MOST_PHOTOS = 3
STRENGTH = 1.8  # how far along their taste the things lie that people write about and photograph
SPREAD = 0.3  # how much they stray from it, in standard deviations of the items' latents

Progress = Callable[[int, int, str], None]


def write_private(out: Path, seed: int, taste: Floats32, progress: Progress | None) -> tuple[int, int]:
    """Write notes.csv (user,text) and photos/<user>/<number>.jpg, one to three of each for every row of ``taste``.

    Returns how many notes and how many photos were written.
    """
    notes = photos = 0
    (out / "photos").mkdir()
    with (out / "notes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "text"))
        for place in range(len(taste)):
            rng = stream(seed, "private", place)
            for _ in range(rng.integers(1, MOST_NOTES + 1)):
                writer.writerow((user_id(place), note(rng, _near(rng, taste[place, TEXT]))))
                notes += 1
            photos += _write_photos(out / "photos" / user_id(place), rng, taste[place, VISUAL])
            if progress is not None and ((place + 1) % 100 == 0 or place + 1 == len(taste)):
                progress(place + 1, len(taste), "notes and photos")
    return notes, photos


def _write_photos(folder: Path, rng: np.random.Generator, direction: Floats32) -> int:
    folder.mkdir()
    count = int(rng.integers(1, MOST_PHOTOS + 1))
    for number in range(1, count + 1):
        picture = draw_picture(rng, _near(rng, direction), int(rng.integers(len(OUTLINES))))
        (folder / f"{number}.jpg").write_bytes(picture)
    return count


def _near(rng: np.random.Generator, direction: Floats32) -> NDArray[np.float32]:
    stray = rng.normal(0.0, SPREAD, len(direction))
    return (STRENGTH * direction + stray).astype(np.float32)
