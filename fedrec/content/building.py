"""From catalogue and settings to one encoder and its features, modality by modality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import ContentSettings
from fedrec.content.attributes import AttributeEncoder
from fedrec.content.audio_decode import Sound
from fedrec.content.audio_logmel import LogMelAudio
from fedrec.content.audio_statistics import AudioExtractor, StatisticsAudio
from fedrec.content.cache import FeatureCache, files_hash, items_hash, texts_hash
from fedrec.content.catalogue import Catalogue, item_text
from fedrec.content.encoder import Encoded, Encoder, Problem, Progress
from fedrec.content.image_backbone import BackboneImage, extractor_of
from fedrec.content.image_decode import Picture
from fedrec.content.image_pixels import PixelsImage
from fedrec.content.image_statistics import StatisticsExtractor, StatisticsImage
from fedrec.content.projected import Extractor, ProjectedEncoder
from fedrec.content.projection import Projection
from fedrec.content.registry import AnyEncoder
from fedrec.content.text_hashed import HashedText
from fedrec.content.text_lsa import LsaText
from fedrec.content.text_minilm import MiniLmExtractor, MiniLmText
from fedrec.content.text_minilm_states import MiniLmStates
from fedrec.content.text_tokens import TokenText
from fedrec.content.video_frames import frames_extractor, video_kind
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
    try:
        AttributeEncoder.fit(catalogue)
    except ContentError:
        return False
    return True


def encode_modality(
    modality: str, catalogue: Catalogue, settings: ContentSettings, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    """Fit the modality's encoder on the catalogue and encode the catalogue. Raises ContentError."""
    if modality == "text":
        return _text([item_text(item) for item in catalogue], settings, cache, progress)
    if modality == "image":
        return _image([item.image for item in catalogue], settings, cache, progress)
    if modality == "audio":
        return _audio([item.sound for item in catalogue], settings, cache, progress)
    if modality == "video":
        return _video([item.frames for item in catalogue], settings, cache, progress)
    attributes = AttributeEncoder.fit(catalogue)
    return _cached(attributes, catalogue.items, items_hash(catalogue), FeatureCache(None), progress)


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


def _text(
    texts: list[str], settings: ContentSettings, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    content = texts_hash(texts)
    chosen = settings.text
    if chosen.encoder == "minilm":
        return _projected(MiniLmText, MiniLmExtractor(), chosen.dimension, texts, content, cache, progress)
    kinds: dict[str, type[LsaText] | type[HashedText] | type[TokenText] | type[MiniLmStates]]
    kinds = {"lsa": LsaText, "hashed": HashedText, "tokens": TokenText, "minilm-states": MiniLmStates}
    fitted: Encoder[str] = kinds[chosen.encoder].fit(texts, chosen)
    return _cached(fitted, texts, content, cache, progress)


def _image(
    pictures: list[Picture], settings: ContentSettings, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    content = files_hash(pictures)
    chosen = settings.image
    if chosen.encoder == "pixels":
        return _cached(PixelsImage.fit(chosen), pictures, content, cache, progress)
    if chosen.encoder == "statistics":
        extractor = StatisticsExtractor(chosen.size)
        return _projected(StatisticsImage, extractor, chosen.dimension, pictures, content, cache, progress)
    backbone = extractor_of(chosen)
    return _projected(BackboneImage, backbone, chosen.dimension, pictures, content, cache, progress)


def _audio(
    sounds: list[Sound], settings: ContentSettings, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    content = files_hash(sounds)
    chosen = settings.audio
    if chosen.encoder == "logmel":
        return _cached(LogMelAudio.fit(chosen), sounds, content, cache, progress)
    extractor = AudioExtractor(chosen.seconds, chosen.highest)
    return _projected(StatisticsAudio, extractor, chosen.dimension, sounds, content, cache, progress)


def _video(
    videos: list[tuple[Path, ...]], settings: ContentSettings, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    content = texts_hash(files_hash(frames) for frames in videos)
    chosen = settings.video
    return _projected(video_kind(chosen), frames_extractor(chosen), chosen.dimension, videos, content, cache, progress)


def _projected(
    kind: type[ProjectedEncoder[Any]],
    extractor: Extractor[Any],
    dimension: int,
    batch: Sequence[Any],
    content: str,
    cache: FeatureCache,
    progress: Progress | None,
) -> tuple[AnyEncoder, Encoded]:
    measured = cache.encoded(extractor.name, content, lambda: extractor.extract(batch, progress))
    encoder = kind.fit_measured(extractor, measured, dimension)
    return encoder, encoder.project(measured)


def _cached(
    encoder: Encoder[Any], batch: Sequence[Any], content: str, cache: FeatureCache, progress: Progress | None
) -> tuple[AnyEncoder, Encoded]:
    name = encoder.name if cache.directory is None else f"{encoder.name} {encoder.digest()}"
    return encoder, cache.encoded(name, content, lambda: encoder.encode(batch, progress=progress))
