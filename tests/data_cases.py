"""A data directory drawn by hand, whose right answers are known without computing them; and `fedrec` run on it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from click.testing import Result
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import fedrec.cli.main

TASTES = {"alpine": (40, 90, 200), "desert": (220, 160, 40), "forest": (30, 140, 60)}
FIRST_DAY = 1_700_000_000
SMALL = """
[content.text]
dimension = 8
vocabulary = 128
[content.image]
dimension = 8
size = 16
[model]
dimension = 8
[training]
rounds = 2
negatives = 16
[speed]
threads = 1
"""


def item(taste: str, place: int) -> str:
    return f"{taste}-{place:02d}"


def user(taste: str, lacks: int) -> str:
    return f"friend of {taste}, not of {lacks:02d}"


def write_tastes(directory: Path, people: int) -> Path:
    """Three tastes, each of ``people`` items and as many users, who know every item of their taste but one.

    User k lacks item k, which is the test item; the negatives are all items of the other tastes. An item's picture
    has the colour of its taste, with a bar of its own; its text names the taste.
    """
    (directory / "images").mkdir(parents=True)
    items, events, held = [], [], []
    for taste, colour in TASTES.items():
        others = " ".join(item(other, place) for other in TASTES if other != taste for place in range(people))
        for place in range(people):
            items.append((item(taste, place), f"{taste.title()} boots {place}", taste, f"Made for the {taste}"))
            _draw(directory / "images" / f"{item(taste, place)}.jpg", colour, place)
            known = [item(taste, (place + step) % people) for step in range(1, people)]
            events += [(user(taste, place), thing, 4, FIRST_DAY + day) for day, thing in enumerate(known)]
            held.append((user(taste, place), "", item(taste, place), others))
    write_csv(directory / "items.csv", ("item", "title", "genres", "text"), items)
    write_csv(directory / "interactions.csv", ("user", "item", "rating", "timestamp"), events)
    write_csv(directory / "loo_99neg.csv", ("user", "valid_item", "test_item", "negatives"), held)
    return directory


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def fedrec_run(*words: str | Path) -> Result:
    """``fedrec`` with these words, with the command groups that are installed."""
    return CliRunner().invoke(fedrec.cli.main.build(), [str(word) for word in words])


def told(*words: str | Path) -> Any:
    """The JSON that a command prints; it must succeed, and print nothing else."""
    result = fedrec_run(*words, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def refused(code: int, *words: str | Path) -> str:
    """What a command prints that must fail with this exit code, without a trace, and with the same words in JSON."""
    result = fedrec_run(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    problem = json.loads(fedrec_run(*words, "--json").stdout)["error"]
    assert problem["what"] in result.stderr
    return result.stderr


def _draw(path: Path, colour: tuple[int, int, int], place: int) -> None:
    picture = Image.new("RGB", (24, 24), colour)
    ImageDraw.Draw(picture).rectangle((place % 20, 4, place % 20 + 3, 20), fill="white")
    picture.save(path)
