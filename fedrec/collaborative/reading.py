"""What the paid sums say, and one way to read it: from opened, denoised sums to the collaborative factors of a release.

Everything here is a pure function of sums that have their noise, of public content and of settings.  So reading the
same sums in another way costs no budget (Dwork and Roth 2014, Proposition 2.1), and the server and a device that are
given the same sums read the same factors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import low_rank
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.content_kernel import content_factors
from fedrec.collaborative.leading_pairs import leading_pairs
from fedrec.collaborative.solve import WholeCooccurrence, diagonal_from, solve_whole, whole
from fedrec.collaborative.tall import TallTable, blocks, may_be_square
from fedrec.config import CollaborativeSettings, PriorSettings
from fedrec.content.feature_table import Features

Floats = NDArray[np.float64]
MOST_DIRECTIONS: Final = 1_024
"""Of a co-occurrence, where the catalogue is too large for a matrix of all items."""
_LEAST_EIGENVALUE: Final = 1e-9
_STEPS: Final = 8


@dataclass(frozen=True, eq=False)
class PaidSums:
    """What is known of the items' use: their popularity alone. ``popularity``: [items], estimates of zero or above."""

    popularity: Floats

    def with_content(self, features: Features, prior: PriorSettings) -> PaidSums:
        """The same sums, seen with another content kernel; here, and where the kernel is made when it is solved, these.

        ``features``: with all the modalities that ``prior`` names, such as the trained tower's item vectors.
        """
        return self

    def solved(self, settings: CollaborativeSettings, features: Features) -> CollaborativeFactors:
        """The factors before the discount of popular items; here of rank 0."""
        none = np.zeros((len(self.popularity), 0), np.float32)
        return CollaborativeFactors(none, none, self.popularity.astype(np.float32))


@dataclass(frozen=True, eq=False)
class PaidCooccurrence(PaidSums):
    """Popularity, and which items are used together: query ``cooccurrence``.

    ``matrix``: [K, K], denoised.  ``items``: int64 [K], the places of the items that took part.  ``noisy``: whether
    noise was added.
    """

    matrix: Floats
    items: NDArray[np.int64]
    noisy: bool
    _last: dict[str, WholeCooccurrence] = field(default_factory=dict, init=False, repr=False)

    def solved(self, settings: CollaborativeSettings, features: Features) -> CollaborativeFactors:
        """See `fedrec.collaborative.solve`; of more than 20,000 items, by factors, see `spanning`.

        What is decomposed is kept until another prior is asked for: many readings differ in what comes after.

        Raises:
            ConfigError: the prior names a modality without content.
        """
        if not may_be_square(len(self.popularity)):
            mass = diagonal_from(self.popularity, self.matrix, self.items)
            spanning, raised = self.spanning(settings, features, mass), self.noisy or settings.prior.weight > 0
            return low_rank.solved(self.popularity, spanning, mass, settings, raised=raised)
        name = f"{settings.prior.model_dump_json()} {settings.solver.method == 'als'} {id(features)}"
        if name not in self._last:
            self._last.clear()
            self._last[name] = whole(
                self.popularity, self.matrix, self.items, settings, features=features, noisy=self.noisy
            )
        return solve_whole(self.popularity, self._last[name], settings)

    def spanning(self, settings: CollaborativeSettings, features: Features, mass: Floats) -> TallTable:
        """Factors [items, k] of the co-occurrence and of the content prior beside it, without a matrix of all items.

        The leading `MOST_DIRECTIONS` directions of the items that took part; where there are fewer, it is exact.  Among
        what it spans users are placed as it is, where a matrix has its diagonal raised first.
        """
        vectors, values = leading_pairs(self.matrix, min(MOST_DIRECTIONS, len(self.matrix)), steps=_STEPS)
        kept = values > _LEAST_EIGENVALUE * max(float(values.max(initial=0.0)), 1e-300)
        prior = settings.prior
        content = content_factors(features, prior) if prior.weight else np.zeros((len(mass), 0), np.float32)
        width = int(kept.sum())
        whole = np.zeros((len(mass), width + content.shape[1]), dtype=content.dtype)
        whole[self.items, :width] = vectors[:, kept] * np.sqrt(values[kept])
        root = np.sqrt(prior.weight * mass)[:, None]
        for part in blocks(len(mass)):
            whole[part, width:] = root[part] * content[part]
        return whole


@dataclass(frozen=True, eq=False)
class PaidFactors(PaidSums):
    """Popularity, and factors of what is used together: query ``factors``; see `fedrec.collaborative.power_iteration`.

    ``centre``: [items], the popular direction, of length 1.  ``mass``: [items], above 0.  ``found``: [items, k], what
    the rounds found.  ``content``: [items, w], whose products are the content kernel.
    """

    centre: Floats
    mass: Floats
    found: TallTable
    content: TallTable

    def with_content(self, features: Features, prior: PriorSettings) -> PaidFactors:
        """With the kernel of ``prior`` over ``features``; what the rounds found stays. Raises as `content_factors`."""
        return replace(self, content=content_factors(features, prior))

    def solved(self, settings: CollaborativeSettings, features: Features) -> CollaborativeFactors:
        """Joined and solved without a matrix of items by items, see `fedrec.collaborative.low_rank`."""
        return low_rank.solved(self.popularity, self.joined(settings), self.mass, settings)

    def joined(self, settings: CollaborativeSettings) -> TallTable:
        """Factors [items, 1 + k + w] of the whole estimate of the co-occurrence: `low_rank.joined`."""
        scale, prior = settings.power_iteration.scale, settings.prior.weight
        return low_rank.joined(
            self.centre, self.popularity, self.found, self.content, self.mass, scale=scale, prior=prior
        )


def read(sums: PaidSums, settings: CollaborativeSettings, features: Features) -> CollaborativeFactors:
    """Read paid sums as the settings say: the collaborative factors that a device ranks with.

    Args:
        sums: opened and denoised.
        settings: weights of the prior and of what was found, solver, fold-in and discount.
        features: of the catalogue; the prior of a co-occurrence is made of them.

    Raises:
        ConfigError: the prior names a modality that the content does not have.
    """
    return sums.solved(settings, features).discounted(settings.scoring.discount)
