"""Pictures through a frozen convolutional network that was trained on ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fedrec.accelerator import current_device, moved, to_numpy
from fedrec.config import ImageSettings
from fedrec.content import torchvision_shim
from fedrec.content.backbones import BACKBONES, Backbone, find_weights, fingerprint, load
from fedrec.content.encoder import Arrays, Encoded, Meta, Problem, Progress, chunks, field_of
from fedrec.content.image_decode import LARGEST_SIDE, Picture, decode_batch
from fedrec.content.projected import ProjectedEncoder
from fedrec.content.projection import Projection
from fedrec.errors import ContentError

BATCH = 16
SMALLEST_SIDE = 128
"""Networks trained at 224 pixels make little of fewer than this; smaller settings are raised to it."""


class BackboneExtractor:
    """A picture to the pooled last layer of a network named in `BACKBONES`; weights load on first use.

    ``sha256``: of the weights file, the first 16 hex digits; part of the name, since other weights measure otherwise.
    """

    def __init__(self, network: str, side: int, weights: Path) -> None:
        self.network = network
        self.side = max(side, SMALLEST_SIDE)
        self.weights = weights
        self.sha256 = fingerprint(weights)
        self._module: Any = None
        self._loading = Lock()

    @property
    def backbone(self) -> Backbone:
        """How the network is built and normalised."""
        return BACKBONES[self.network]

    @property
    def name(self) -> str:
        """See `Extractor.name`."""
        return f"{self.network}.1 side={self.side} weights={self.sha256}"

    @property
    def width(self) -> int:
        """See `Extractor.width`."""
        return self.backbone.width

    def hold_to(self, sha256: object) -> None:
        """Raise ContentError unless the weights are those of this hash."""
        if self.sha256 != sha256:
            raise ContentError(
                f"the weights of {self.network} at hand are not those the features were made with",
                value=self.sha256,
                action=f"Use the file whose SHA-256 starts with {sha256}",
            )

    def extract(self, batch: Sequence[Picture], progress: Progress | None = None) -> Encoded:
        """Run pictures through the network, tens a second on two cores; see `Extractor.extract`.

        Raises:
            ContentError: the weights are not of this network.
        """
        values = np.zeros((len(batch), self.width), np.float32)
        present = np.zeros(len(batch), np.bool_)
        problems: list[Problem] = []
        for part in chunks(len(batch), BATCH, progress, "image"):
            pixels, _, there, wrong = decode_batch(batch[part], self.side)
            present[part] = there
            problems += [Problem(part.start + problem.place, problem.reason) for problem in wrong]
            if there.any():
                values[part.start + np.flatnonzero(there)] = self._features(pixels[there])
        return Encoded(values, present, tuple(problems))

    def _features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        torchvision_shim.prepare()
        from torchvision.transforms import v2

        with self._loading:
            if self._module is None:
                self._module = load(self.network, self.side, self.weights)
            module = moved(self._module, current_device())
        backbone = self.backbone
        given = torch.from_numpy(pixels).to(current_device()).permute(0, 3, 1, 2)
        scaled = v2.functional.to_dtype(given, torch.float32, scale=True)
        with torch.inference_mode():
            normal = v2.functional.normalize(scaled, mean=list(backbone.mean), std=list(backbone.deviation))
            features: NDArray[np.float32] = to_numpy(module(normal))
        return features


class BackboneImage(ProjectedEncoder[Picture]):
    """A picture to a unit vector: backbone features, centred on the catalogue and cut to their leading directions."""

    modality: ClassVar[str] = "image"
    kind: ClassVar[str] = "backbone"
    block = 4 * BATCH

    @classmethod
    def extractor_of(cls, settings: ImageSettings) -> BackboneExtractor:
        """See `ProjectedEncoder.extractor_of`; the weights are looked for where they usually are."""
        return extractor_of(settings)

    @classmethod
    def fit(
        cls,
        batch: Sequence[Picture],
        settings: ImageSettings,
        *,
        weights: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Run the catalogue's pictures and fit the projection.

        ``weights``: a state-dict file; None looks where the network's weights are usually found.

        Raises:
            ContentError: no picture is readable, or the weights are not at hand; says how to get them.
        """
        extractor = extractor_of(settings, weights)
        return cls.fit_measured(extractor, extractor.extract(batch, progress), settings.dimension)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`. The weights are named by their hash, not stored."""
        extractor = self.extractor
        assert isinstance(extractor, BackboneExtractor)
        named = {"network": extractor.network, "side": extractor.side, "sha256": extractor.sha256}
        return self.projection.arrays(), {"dimension": self.dimension, **named}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta, *, weights: Path | None = None) -> BackboneImage:
        """See `Encoder.from_state`. The weights must be at hand, and the same file as before."""
        network = field_of(meta, "network", str)
        if network not in BACKBONES:
            raise ContentError("a saved encoder names an unknown network", value=network)
        side = field_of(meta, "side", int, most=LARGEST_SIDE)
        extractor = BackboneExtractor(network, side, weights or find_weights(network))
        extractor.hold_to(meta.get("sha256"))
        projection = Projection.from_arrays(arrays, extractor.width)
        return cls(extractor, field_of(meta, "dimension", int), projection)


def extractor_of(settings: ImageSettings, weights: Path | None = None) -> BackboneExtractor:
    """The extractor that the settings ask for. Raises ContentError where the weights are not at hand."""
    return BackboneExtractor(settings.encoder, settings.size, weights or find_weights(settings.encoder))
