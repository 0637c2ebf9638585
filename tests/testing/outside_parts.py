"""Parts as another package would write them: right ones, and ones that break their contract on purpose."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec import randomness
from fedrec.config import TextSettings
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Progress, field_of
from fedrec.model.fusion_weights import Fusion
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.banded_noise import BandedMechanism, BandedNoise
from fedrec.privacy.mechanism import GaussianMechanism, Mechanism
from fedrec.registry import Registry


@contextmanager
def registered(registry: Registry[Any], **parts: Any) -> Iterator[None]:
    """The parts are registered, and taken out again afterwards; _ in a name stands for -."""
    names = {name.replace("_", "-"): part for name, part in parts.items()}
    for name, part in names.items():
        registry.register(name)(part)
    try:
        yield
    finally:
        for name in names:
            registry.unregister(name)


class Words(Encoder[str]):
    """Text to hashed counts of its words, at unit norm."""

    modality, kind = "text", "words-of-a-test"

    def __init__(self, columns: int) -> None:
        self.columns = columns

    @classmethod
    def fit(cls, batch: Sequence[str], settings: TextSettings) -> Self:
        return cls(settings.dimension)

    @property
    def name(self) -> str:
        return f"words.1 columns={self.columns}"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.columns,)

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        out = self.empty(len(batch))
        for row, text in enumerate(batch):
            for word in text.lower().split():
                out.values[row, zlib.crc32(word.encode()) % self.columns] += 1
        out.present[:] = out.values.any(1)
        norms = np.linalg.norm(out.values, axis=1, keepdims=True)
        return Encoded(out.values / np.where(norms > 0, norms, 1).astype(np.float32), out.present)

    def state(self) -> tuple[Arrays, Meta]:
        return {}, {"columns": self.columns}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> Self:
        return cls(field_of(meta, "columns", int))


class Moody(Words):
    """Another encoding at every call."""

    kind = "moody"
    calls = 0

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        found = super().encode(batch)
        type(self).calls += 1
        return Encoded(found.values * np.float32(1 + self.calls), found.present)


class Leaky(Words):
    """A row sees the row before it."""

    kind = "leaky"

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        found = super().encode(batch)
        before = np.concatenate([np.zeros((1, self.columns), np.float32), found.values])[:-1]
        return Encoded((found.values + 0.1 * before) * found.present[:, None], found.present)


class Centred(Words):
    """A row depends on the batch that it comes in: its mean is taken off."""

    kind = "centred"

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        found = super().encode(batch)
        mean = found.values.mean(0) if len(batch) else np.float32(0)
        return Encoded((found.values - mean) * found.present[:, None], found.present)


class Forgetful(Words):
    """It is restored with other settings than it was saved with."""

    kind = "forgetful"

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> Self:
        return cls(field_of(meta, "columns", int) - 1)


class PlainMean(Fusion):
    """The mean of what is present."""

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        return cls()

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        there = present.to(vectors.dtype).unsqueeze(-1)
        return vectors.masked_fill(~present.unsqueeze(-1), 0.0).sum(2) / there.sum(2).clamp(min=1.0)


class MixesRows(PlainMean):
    """What all rows have in common is taken off, as normalising a batch would."""

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        fused = super().forward(vectors, present)
        return (fused - 0.5 * fused.mean(0, keepdim=True)) * present.any(-1, keepdim=True)


class ReadsMissing(PlainMean):
    """A thousandth of a missing modality's vector is mixed in."""

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        missing = vectors.masked_fill(present.unsqueeze(-1), 0.0).sum(2)
        return super().forward(vectors, present) + 1e-3 * missing * present.any(-1, keepdim=True)


class Laplace(Mechanism):
    """Laplace noise of scale ``noise_multiplier`` times the sensitivity in L1."""

    norm = "l1"

    @property
    def standard_deviation(self) -> float:
        return math.sqrt(2) * self.noise_multiplier * self.sensitivity

    def noise(self, key: bytes, length: int) -> NDArray[np.float64]:
        centred = randomness.uniform(key, length) - 0.5
        return self.on_grid(-np.sign(centred) * np.log1p(-2 * np.abs(centred)) / math.sqrt(2))

    @classmethod
    def dp_event(cls, noise_multiplier: float) -> Any:
        import dp_accounting

        return dp_accounting.LaplaceDpEvent(noise_multiplier)


class LaplaceInL2(Laplace):
    """Claims of L2 what holds in L1."""

    norm = "l2"


def scaled(kind: type[Mechanism], factor: float, *, admitted: bool = False) -> type[Mechanism]:
    """The mechanism with so many times its noise; ``admitted``: its deviation says so, only its cost does not."""

    class Scaled(kind):  # type: ignore[valid-type,misc]
        @property
        def standard_deviation(self) -> float:
            real: float = super().standard_deviation
            return real * factor if admitted else real

        def noise(self, key: bytes, length: int) -> NDArray[np.float64]:
            steps = np.rint(super().noise(key, length) / self.resolution * factor)
            return np.asarray(steps * self.resolution)

    Scaled.gaussian = kind.gaussian
    return Scaled


class OneNoise(GaussianMechanism):
    """The same noise whatever the key."""

    def noise(self, key: bytes, length: int) -> NDArray[np.float64]:
        return super().noise(bytes(32), length)


class WeakBands(BandedMechanism):
    """Banded noise with two thirds of it in every round."""

    @classmethod
    def over_rounds(cls, cost: QueryCost, bands: int, key_of: Callable[[int], bytes]) -> BandedNoise:
        whole = super().over_rounds(cost, bands, key_of)
        right = whole.of
        whole.of = lambda number, length, deviation: np.rint(right(number, length, deviation) * (2 / 3))  # type: ignore[method-assign]
        return whole
