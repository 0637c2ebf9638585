"""Private power iteration: what items have in common, from public content towards what users do.

Every user tells where its history lies among r public directions of the catalogue, and adds the outer product of the
history and that position: one step of power iteration on the users' co-occurrence, whose exact form is Gram times
directions (Hardt and Price 2014, "The Noisy Power Method", section 2).  Before, what all users share is taken out: the
popular direction would fill most of each user's bound and says nothing that ``popularity`` has not said.  The first
directions are those of the content kernel, so the public catalogue says where to look and no budget is spent on
finding out.

These are pure functions of sums and public content; what is asked of devices is in `fedrec.queries.directions` (the
steps before the last) and `fedrec.queries.factors` (the last, with the least noise).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.denoising import Denoising, denoised
from fedrec.collaborative.tall import TallTable, blocks, directions_of, gram, times

Floats = NDArray[np.float64]
# Below this part of the mean mass, items are alike in weight: their mass is mostly noise.
_LEAST_MASS = 0.05
# Eigenvalues below this part of the largest are noise: dividing by them would blow it up.
_LEAST_EIGENVALUE = 0.02


@dataclass(frozen=True, eq=False)
class ProjectionDirections:
    """What devices project on. ``centre``: [items], length 1, the popular direction that is taken out first.
    ``vectors``: [items, r], orthogonal columns, each as long as its say in a user's position.  ``weights``: [items],
    above 0, of the items in x'; None where all weigh 1."""

    centre: Floats
    vectors: Floats
    weights: Floats | None = None

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """As named arrays, for a request; `from_arrays` is the inverse, up to rounding."""
        arrays = {"centre": self.centre.astype(np.float32), "vectors": self.vectors.astype(np.float32)}
        return arrays if self.weights is None else {**arrays, "weights": self.weights.astype(np.float32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ProjectionDirections:
        """Read `arrays`, in float64."""
        weights = arrays.get("weights")
        return cls(
            arrays["centre"].astype(np.float64),
            arrays["vectors"].astype(np.float64),
            None if weights is None else weights.astype(np.float64),
        )


@dataclass(frozen=True, eq=False)
class PowerIterationResult:
    """What one round found. ``factors``: [items, k] with factors factors^T an estimate, up to scale, of the centred
    co-occurrence."""

    factors: TallTable


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected before anybody was asked: the content kernel D^1/2 S D^1/2 without its popular direction.

    Args:
        mass: [items], above 0, the diagonal D.
        centre: [items], of length 1, the popular direction.
        factors: [items, w], whose products are the kernel.
    """

    mass: Floats
    centre: Floats
    factors: TallTable

    @classmethod
    def of(cls, mass: Floats, popularity: Floats, content: TallTable) -> Expected:
        """From ``popularity`` [items], zero or above, and ``content`` [items, w] with S = content content^T."""
        centre, root = centre_of(popularity), np.sqrt(mass)
        kernel, along = np.empty_like(content), gram((centre * root)[:, None], content)
        for part in blocks(len(content)):
            kernel[part] = root[part, None] * content[part] - centre[part, None] * along
        return cls(mass, centre, kernel)


def first(expected: Expected, rank: int, whitening: float, item_weighting: float = 0.0) -> ProjectionDirections:
    """The directions before anybody was asked: the strongest of what is expected.

    Args:
        expected: the content kernel.
        rank: r, at most as many as the kernel has.
        whitening: 0 to 1; the say of a direction is its eigenvalue to the power of minus this.
        item_weighting: 0 to 1; an item's weight is its share of the mean mass to the power of minus this.
    """
    share = np.maximum(expected.mass / expected.mass.mean(), _LEAST_MASS)
    weights, none = share**-item_weighting if item_weighting else None, np.zeros((len(share), 0))
    return _directions(ProjectionDirections(expected.centre, none, weights), expected.factors, rank, whitening)


def following(
    asked: ProjectionDirections, found: PowerIterationResult, rank: int, whitening: float
) -> ProjectionDirections:
    """The directions of the next round: the strongest of what the last one found."""
    return _directions(asked, found.factors, rank, whitening)


def completed(
    opened: Floats, asked: ProjectionDirections, expected: Expected, sigma: float, how: Denoising = "items"
) -> PowerIterationResult:
    """Denoise an opened sum [items * r] and complete it to factors; uses public facts and the noisy sum only.

    Nystroem's method completes A = G U to G = A (U^T A)^-1 A^T.  ``how``: see `fedrec.collaborative.denoising`.
    """
    found = without_noise(opened.reshape(asked.vectors.shape), asked, expected, sigma, how)
    inner = gram(asked.vectors, found)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    kept = values > _LEAST_EIGENVALUE * values.max(initial=0.0)
    return PowerIterationResult(times(found, vectors[:, kept] / np.sqrt(values[kept])))


def without_noise(
    noisy: Floats, asked: ProjectionDirections, expected: Expected, sigma: float, how: Denoising = "items"
) -> Floats:
    """A noisy sum [items, r] of what was asked, by `fedrec.collaborative.denoising.denoised`; weights divided out."""
    weights = np.ones((len(noisy), 1)) if asked.weights is None else asked.weights[:, None]
    guess = times(expected.factors, gram(expected.factors, asked.vectors))
    return denoised(noisy, guess, expected.factors, expected.mass, sigma, weights, how)


def centre_of(popularity: Floats) -> Floats:
    """The popular direction, of length 1; all zeros where nothing is popular."""
    norm = float(np.linalg.norm(popularity))
    return popularity / norm if norm > 0 else np.zeros_like(popularity)


def _directions(asked: ProjectionDirections, spanning: TallTable, rank: int, whitening: float) -> ProjectionDirections:
    vectors, singular = directions_of(gram(spanning), rank)
    values = singular**2
    say = (values / values[0]) ** -whitening if len(values) else values
    turned = np.asarray(times(spanning, vectors * (say / singular)), dtype=np.float64)
    # Of a direction and its opposite, which are alike but for the noise that meets them, every machine takes one.
    if turned.size:
        turned *= np.where(turned[np.abs(turned).argmax(axis=0), np.arange(turned.shape[1])] < 0, -1.0, 1.0)
    return replace(asked, vectors=turned)
