"""``fedrec bench features``: how much of a bare network's speed is left when fedrec encodes a catalogue with it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


class FrozenNetwork(StrEnum):
    """minilm reads titles and texts; the others see pictures."""

    minilm = "minilm"
    efficientnet_lite0 = "efficientnet-lite0"
    resnet18 = "resnet18"
    mobilenet_v3_small = "mobilenet-v3-small"


def bench_features(
    network: Annotated[FrozenNetwork, typer.Option(help="Which frozen network.")] = FrozenNetwork.minilm,
    data: Annotated[Path | None, typer.Option(help="A data set whose items are encoded; by default a shop's.")] = None,
    items: Annotated[int, typer.Option(min=0, help="At most so many items, the first ones; 0 = all.")] = 500,
    seconds: Annotated[float, typer.Option(min=0.0, max=3600.0, help="How long to measure; three rounds at least.")] = (
        60.0
    ),
    as_json: AsJson = False,
) -> None:
    """Measure encoding a catalogue, from an empty cache, beside the bare network on the same content, in turn."""
    from fedrec.content.catalogue import Catalogue
    from fedrec.data.sources import read_data
    from fedrec.simulation.bench.features import EncodingCase, run_features
    from fedrec.simulation.shop.generate import write_shop

    with TemporaryDirectory(prefix="fedrec-features-") as directory:
        place = Path(directory) / "shop" if data is None else data
        if data is None:
            write_shop(place, users=20, items=max(items, 140))
        dataset = read_data(place)
        catalogue = Catalogue.of(dataset.items[: items or None])
        found = run_features(EncodingCase(network.value, catalogue), seconds)
    tell("encoding a catalogue", {**found, "data": dataset.name}, as_json=as_json)
