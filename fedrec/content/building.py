"""From catalogue and settings to one encoder and its features, modality by modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import ContentSettings
from fedrec.content.attributes import AttributeEncoder, says_something
from fedrec.content.blocks import encode_in_blocks
from fedrec.content.cache import FeatureCache, files_hash, items_hash, texts_hash
from fedrec.content.catalogue import Catalogue, item_text
from fedrec.content.encoder import Encoded, Problem, Progress
from fedrec.content.kept_parts import KeptParts
from fedrec.content.projected import ProjectedEncoder
from fedrec.content.projection import Projection
from fedrec.content.registry import ENCODERS, AnyEncoder
from fedrec.errors import ContentError


def has_content(modality: str, catalogue: Catalogue) -> bool:
    """Whether any item says that it has the modality; a file that turns out to be unreadable still counts."""
    if modality == "image":
        return any(item.image is not None for item in catalogue)
    if modality == "text":
        return any(item_text(item) for item in catalogue)
    if modality == "audio":
        return any(item.sound is not None for item in catalogue)
    if modality == "video":
        return any(item.frames for item in catalogue)
    return says_something(catalogue)


def encode_modality(
    modality: str, catalogue: Catalogue, settings: ContentSettings, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    """Fit the modality's encoder on the catalogue and encode the catalogue.

    Raises:
        ContentError: the encoder cannot work here. ConfigError: it cannot be loaded.
    """
    if modality == "attributes":
        attributes = AttributeEncoder.fit(catalogue)
        return _cached(attributes, catalogue.items, items_hash(catalogue), cache=FeatureCache(None), progress=progress)
    chosen = getattr(settings, modality)
    kind = ENCODERS[modality][chosen.encoder]
    batch, content = content_of(modality, catalogue)
    if issubclass(kind, ProjectedEncoder):
        # Measuring is slow and the same for every dimension, so what was measured is what is kept.
        extractor = kind.extractor_of(chosen)
        plan = _BlockPlan(kind.block, kind.order, modality, progress)
        measured = cache.encoded(extractor.name, content, lambda kept: plan.run(extractor.extract, batch, kept))
        projected = kind.fit_measured(extractor, measured, chosen.dimension)
        return projected, projected.project(measured)
    return _cached(kind.fit(batch, chosen), batch, content, cache=cache, progress=progress)


def content_of(modality: str, catalogue: Catalogue) -> tuple[Sequence[Any], str]:
    """What the modality's encoder gets of each item, in order, and a SHA-256 in hex over all of it.

    Text: title and text as one string.  Image, audio: a path, the file's bytes, or None.  Video: a tuple of pictures.
    """
    if modality == "text":
        texts = [item_text(item) for item in catalogue]
        return texts, texts_hash(texts)
    if modality == "image":
        pictures = [item.image for item in catalogue]
        return pictures, files_hash(pictures)
    if modality == "audio":
        sounds = [item.sound for item in catalogue]
        return sounds, files_hash(sounds)
    videos = [item.frames for item in catalogue]
    return videos, texts_hash(files_hash(frames) for frames in videos)


def encode_ready(modality: str, raw: NDArray[Any], catalogue: Catalogue, settings: ContentSettings) -> Encoded:
    """Ready-made features [items, width], reduced like those of a backbone to the modality's dimension, at unit norm.

    A row of zeros is a missing item; a row with a value that is not finite is left out and reported.

    Raises:
        ContentError: the array does not have one row for each item, or no row is usable.
    """
    if raw.ndim != 2 or len(raw) != len(catalogue) or raw.shape[1] == 0 or raw.dtype.kind not in "fiu":
        raise ContentError(
            f"ready-made features for '{modality}' need one row of numbers for each of {len(catalogue)} items",
            value=f"{raw.dtype} {raw.shape}",
            action="Give an array of shape (items, width) in the order of the items file",
        )
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(raw, np.float32)
    finite = np.isfinite(values).all(axis=1)
    present = np.logical_and(finite, (values != 0).any(axis=1))
    problems = tuple(Problem(int(place), "ready-made features are not finite") for place in np.flatnonzero(~finite))
    if not present.any():
        raise ContentError(f"ready-made features for '{modality}' hold no usable row", action="Mend the feature file")
    dimensions = {name: getattr(settings, name).dimension for name in ("text", "image", "audio", "video")}
    dimension = dimensions.get(modality, int(values.shape[1]))
    projection = Projection.fit(values[present], dimension, unit=True)
    out = np.zeros((len(values), projection.width), np.float32)
    out[present] = projection.apply(values[present])
    return Encoded(out, present, problems)


def _cached(
    encoder: AnyEncoder, batch: Sequence[Any], content: str, *, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    name = encoder.name if cache.directory is None else f"{encoder.name} {encoder.digest()}"
    plan = _BlockPlan(encoder.block, encoder.order, encoder.modality, progress)
    return encoder, cache.encoded(name, content, lambda kept: plan.run(encoder.encode, batch, kept))


@dataclass(frozen=True)
class _BlockPlan:
    """How an encoder wants a catalogue cut up; see `Encoder.block` and `Encoder.order`."""

    size: int
    order: Callable[[Sequence[Any]], Sequence[int]]
    what: str
    progress: Progress | None

    def run(self, encode: Callable[[Sequence[Any]], Encoded], batch: Sequence[Any], kept: KeptParts | None) -> Encoded:
        order = self.order(batch)
        return encode_in_blocks(encode, batch, order, self.size, kept=kept, progress=self.progress, what=self.what)
