"""``fedrec bench rank``: how fast a device finds its best items."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell
from fedrec.errors import ConfigError


class Vectors(StrEnum):
    """What the items' vectors are like. gaussian: the hardest to search. clustered: like factors of behaviour."""

    gaussian = "gaussian"
    clustered = "clustered"


RIVALS = ("faiss", "usearch")


def bench_rank(
    items: Annotated[int, typer.Option(min=100, max=10_000_000, help="How many items.")] = 1_000_000,
    width: Annotated[int, typer.Option(min=1, max=4096, help="Numbers of an item's vector.")] = 64,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How long a list.")] = 10,
    vectors: Annotated[Vectors | None, typer.Option(help="What they are like; by default both, in turn.")] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long to measure, a kind of vectors.")] = 5.0,
    against: Annotated[str, typer.Option(help="Libraries to time beside ours, with commas: faiss, usearch.")] = "",
    as_json: AsJson = False,
) -> None:
    """Measure exact search of item vectors: float32, float16 and int8 beside a plain pass over the same bytes."""
    rivals = [name.strip() for name in against.split(",") if name.strip()]
    if unknown := sorted(set(rivals) - set(RIVALS)):
        raise ConfigError("there is no such library to compare with", value=unknown, action=f"One of {RIVALS}")
    from fedrec.simulation.bench.rank import VECTORS, RankSizes, run_rank

    kinds = VECTORS if vectors is None else (vectors.value,)
    found = run_rank(RankSizes(items, width, top), vectors=kinds, rivals=rivals, seconds=seconds)
    tell("ranking", found, as_json=as_json)
