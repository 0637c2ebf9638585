"""From a data set to the catalogue that a server and its devices share: read, encode, and say what was left out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedrec.accelerator import use_device
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.content.cache import cache_directory
from fedrec.content.catalogue import Catalogue
from fedrec.content.feature_table import Features
from fedrec.content.features import build_features
from fedrec.content.fit import ranks_without_content
from fedrec.content.left_out import say_content, say_skipped
from fedrec.content.registry import AnyEncoder
from fedrec.data.schema import Dataset
from fedrec.data.sources import read_data
from fedrec.errors import ContentError
from fedrec.thread_settings import use_threads

if TYPE_CHECKING:
    from fedrec.data.sources import Source


def read_and_say(data: Source, reporter: Reporter) -> Dataset:
    """Read a data set; what had to be skipped is told to the reporter. Raises DataError where it cannot be read."""
    if isinstance(data, str | os.PathLike):
        reporter.stage(f"Reading {os.fspath(data)}")
    dataset = read_data(data)
    say_skipped(dataset, reporter)
    return dataset


def encode_catalogue(config: Config, dataset: Dataset, reporter: Reporter) -> tuple[Features, Mapping[str, AnyEncoder]]:
    """Encode the items of a data set; encoders learn from the items, never from what users did.

    Args:
        config: of it, ``content`` is read, and whether there is something to rank by without content.

    Returns:
        The features, and the encoder of each modality that has one.

    Raises:
        ContentError: the content cannot be encoded as the config says, or none of what is to be ranked by is there.
    """
    use_threads(config.speed.threads)
    use_device(config.speed.device)
    reporter.stage("Encoding the catalogue")
    features, encoders = build_features(
        Catalogue.from_dataset(dataset),
        config.content,
        cache=cache_directory(),
        progress=reporter.progress,
        ready=dataset.features,
    )
    say_content(features.warnings, reporter)
    if config.model.tower and not features.values and not ranks_without_content(config):
        raise ContentError(
            "no item has any of the modalities in content.modalities",
            value=config.content.modalities,
            action="Name one that the data set has, or rank without content: model.preset=behaviour-only",
        )
    return features, encoders
