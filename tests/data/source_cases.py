"""The same events and films in every test of readers, and what a reader must make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from fedrec.data.schema import Dataset

# User 7 comes first, and its second event is the older one.
EVENTS: Mapping[str, list[Any]] = {
    "userId": [7, 7, 3, 3, 9],
    "movieId": [10, 11, 10, 12, 11],
    "rating": [4.5, 3.0, 5.0, 1.0, 2.0],
    "timestamp": [1_600_000_500, 1_600_000_000, 1_600_000_100, 1_600_000_200, 1_600_000_300],
}


FILMS: Mapping[str, list[Any]] = {
    "movieId": [10, 11, 12],
    "title": ["Heat (1995)", "Alien (1979)", "Up (2009)"],
    "description": ["A thief and a cop", "", "A house flies"],
    "genres": ["Crime|Drama", "Horror", "Comedy"],
    "country": ["US", "UK", "US"],
    "minutes": [170, 117, 96],
    "imdbId": [1, 2, 3],
}


FRAMES: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
    "mapping": dict,
}


def check_events(found: Dataset, *, rated: bool = True) -> None:
    """The five events, whatever they were read from."""
    assert found.users == ("7", "3", "9")
    assert [found.users[user] for user in found.interactions.user] == ["7", "7", "3", "3", "9"]
    assert [found.items[item].id for item in found.interactions.item] == ["11", "10", "10", "12", "11"]
    assert found.interactions.timestamp.tolist() == [
        *(1_600_000_000, 1_600_000_500, 1_600_000_100, 1_600_000_200, 1_600_000_300),
    ]
    if rated:
        assert found.interactions.rating.tolist() == [3.0, 4.5, 5.0, 1.0, 2.0]
    assert found.skipped == ()


def check_films(found: Dataset) -> None:
    """The three films, with all that the table of them says."""
    assert [(item.id, item.title) for item in found.items] == [
        ("10", "Heat (1995)"),
        ("11", "Alien (1979)"),
        ("12", "Up (2009)"),
    ]
    assert [item.text for item in found.items] == ["A thief and a cop", "", "A house flies"]
    assert found.items[0].attributes == {"genres": ("Crime", "Drama"), "country": ("US",)}
    assert [dict(item.numbers) for item in found.items] == [{"minutes": 170}, {"minutes": 117}, {"minutes": 96}]


def lines(*rows: object, to: Path, encoding: str = "utf-8") -> Path:
    to.write_bytes("".join(f"{row}\n" for row in rows).encode(encoding))
    return to


def u_data(to: Path) -> Path:
    rows = zip(*EVENTS.values(), strict=True)
    return lines(*("\t".join(map(str, (u, i, int(r), t))) for u, i, r, t in rows), to=to)
