"""How long a search by words takes in a large catalogue of made-up titles, and what its first query costs.

    python -m simulations.benchmarks.search_large --items 100000

Titles are words of a dictionary, drawn as often as words are (1 / rank). Prints a row of a table in Markdown; times are
of the processor, so that other work on the machine changes them little.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray

from fedrec.config import TextSettings
from fedrec.content.text_lsa import LsaText
from fedrec.ranking.content_search import ContentSearch
from fedrec.ranking.topk import top_k
from fedrec.release.contents import CatalogueItems

_DICTIONARY: Final = 20_000
_WORDS: Final = 6
_FITTED: Final = 5_000
_ENCODED: Final = 10_000
_TOP: Final = 10


def main(
    items: Annotated[int, typer.Option(min=1000)] = 100_000,
    width: Annotated[int, typer.Option(min=1)] = 128,
    queries: Annotated[int, typer.Option(min=1)] = 200,
    seed: int = 0,
) -> None:
    """Measure and print the row."""
    rng = np.random.default_rng(seed)
    titles = _titles(rng, items)
    encoder = LsaText.fit(titles[:_FITTED], TextSettings(dimension=width))
    parts = [encoder.encode(titles[start : start + _ENCODED]) for start in range(0, items, _ENCODED)]
    values = np.concatenate([part.values for part in parts])
    present = np.concatenate([part.present for part in parts])
    ids = tuple(f"i{place}" for place in range(items))
    search = ContentSearch(CatalogueItems(ids, tuple(titles), {"text": values}, {"text": present}), {"text": encoder})
    before = time.process_time()
    search.match(titles[0])
    first = time.process_time() - before
    asked = rng.choice(items, size=queries, replace=False).tolist()
    found, seconds = 0, []
    for place in asked:
        before = time.process_time()
        top = top_k(search.match(titles[place]).scores[None], _TOP)[0]
        seconds.append(time.process_time() - before)
        found += place in top
    slow = float(np.quantile(seconds, 0.95))
    print("| items | width | queries | found in the first ten | median ms | 95% ms | first query, once, s |")
    print("|---|---|---|---|---|---|---|")
    cells = f"{found / queries:.1%} | {1000 * median(seconds):.1f} | {1000 * slow:.1f} | {first:.1f}"
    print(f"| {items:,} | {values.shape[1]} | {queries} | {cells} |")


def _titles(rng: np.random.Generator, items: int) -> list[str]:
    words: NDArray[np.str_] = np.array([f"word{place:05d}" for place in range(_DICTIONARY)])
    often = 1.0 / np.arange(1, _DICTIONARY + 1)
    bounds = np.cumsum(often / often.sum())
    picked = np.minimum(np.searchsorted(bounds, rng.random((items, _WORDS))), _DICTIONARY - 1)
    return [" ".join(row) for row in words[picked].tolist()]


if __name__ == "__main__":
    typer.run(main)
