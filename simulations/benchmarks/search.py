"""How often an item is found by its own words, or by its own picture; and how long a search takes.

    python -m simulations.benchmarks.search DATA [DATA ...]

For each data set, items drawn by a seed are asked for by their title, by the first sentence of their text, by five long
words of it, and by their picture, and counted where they are among the first ten. Prints a table in Markdown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import numpy as np
import typer

import fedrec
from fedrec.api.configs import config_of
from fedrec.config.presets import with_preset
from fedrec.console import SilentReporter
from fedrec.content.encode_catalogue import encode_catalogue
from fedrec.data.schema import ItemRecord
from fedrec.ranking.content_search import ContentSearch

Query = tuple[str | None, bytes | None]
_LONG: Final = 5


def main(data: Annotated[list[Path], typer.Argument()], items: int = 400, seed: int = 0) -> None:
    """Measure all data sets and print the table."""
    print("| data | asked by | items | found in the first ten | median ms |")
    print("|---|---|---|---|---|")
    for path in data:
        dataset = fedrec.read_data(path, catalogue_from_interactions=True)
        features, encoders = encode_catalogue(with_preset(config_of("auto", ())), dataset, SilentReporter())
        search = ContentSearch(features, encoders)
        search.match(dataset.items[0].title or "a")
        drawn = np.random.default_rng(seed).permutation(len(dataset.items))
        for name, query in QUERIES.items():
            asked = [(place, found) for place in drawn.tolist() if (found := query(dataset.items[place], seed))]
            if asked[:items]:
                print(f"| {dataset.name} | {name} | {_measured(search, asked[:items])} |")


def _measured(search: ContentSearch, asked: Sequence[tuple[int, Query]]) -> str:
    found, seconds = 0, []
    for place, (words, picture) in asked:
        started = time.perf_counter()
        try:
            scores = search.match(words, picture).scores
        except fedrec.FedrecError:
            continue
        seconds.append(time.perf_counter() - started)
        level = ((scores == scores[place]).sum() - 1) / 2
        found += int((scores > scores[place]).sum() + level < 10)
    return f"{len(asked)} | {found / len(asked):.1%} | {1000 * median(seconds):.1f}"


def _title(item: ItemRecord, _: int) -> Query | None:
    return (item.title, None) if item.title else None


def _sentence(item: ItemRecord, _: int) -> Query | None:
    return (re.split(r"[.!?]\s", item.text.strip())[0], None) if item.text.strip() else None


def _words(item: ItemRecord, seed: int) -> Query | None:
    long = [word for word in re.findall(r"\w+", item.text) if len(word) > _LONG]
    if len(long) < _LONG:
        return None
    return " ".join(np.random.default_rng(seed).choice(long, _LONG, replace=False)), None


def _picture(item: ItemRecord, _: int) -> Query | None:
    return None if item.image is None else (None, item.image.read_bytes())


QUERIES: Final[dict[str, Callable[[ItemRecord, int], Query | None]]] = {
    "title": _title,
    "first sentence": _sentence,
    "five long words of its text": _words,
    "picture": _picture,
}

if __name__ == "__main__":
    typer.run(main)
