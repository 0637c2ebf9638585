"""The device's half of query ``selection``: how well each reading of the paid sums ranks a user's own held-out item."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.readings import readings
from fedrec.errors import ModelError, ProtocolError
from fedrec.queries import paid_sums
from fedrec.queries.device.encoder import EncoderContext, Floats, QueryEncoder
from fedrec.queries.device.public_check import LARGEST_POPULARITY, check_array
from fedrec.queries.device.scoring import check_scorer, digest_of, make_scorer
from fedrec.queries.request import Request
from fedrec.ranking.context import with_context
from fedrec.users import Histories, UserBatch

if TYPE_CHECKING:
    from fedrec.ranking.score import Scorer

AGAINST: Final = 99
"""Other items, drawn from all that the user did not touch, beside which the held-out item is thought to stand."""
DEPTH: Final = 10


class SelectionEncoder(QueryEncoder):
    """Reads the sums as each candidate does, and ranks the held-out item with each."""

    def __init__(self, context: EncoderContext) -> None:
        super().__init__(context)
        self._kept: tuple[bytes, list[Scorer]] | None = None

    def check(self, request: Request) -> None:
        """Raises as `encode`."""
        self.candidates(request)

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """Sum over users of `selection_rows`, one number a candidate.

        Raises:
            ProtocolError: the sums are beyond all numbers, or lead there with some candidate.
            ModelError: what comes with them fits no model.
        """
        scorers = self.candidates(request)
        from fedrec.ranking.score import users_at_once

        settings = self.config.collaborative.selection
        default = list(settings.candidates).index(settings.default)
        known, total = with_context(population, self.config.model.history), np.zeros(request.sum.length)
        step = users_at_once(len(self.features))
        for start in range(0, len(population), step):
            block = known.take(np.arange(start, min(start + step, len(population))))
            total += selection_rows(expected_gains(scorers, block), request.sum.bound, default).sum(axis=0)
        return total

    def candidates(self, request: Request) -> list[Scorer]:
        """A scorer for each candidate, in the order of the settings; made and checked once a broadcast."""
        digest = digest_of(request.arrays, self.config)
        if self._kept is None or self._kept[0] != digest:
            self._kept = (digest, self._made(request))
        return self._kept[1]

    def _made(self, request: Request) -> list[Scorer]:
        from fedrec.ranking.score import SharedParts

        for name, values in request.arrays.items():
            if name in (paid_sums.POPULARITY, paid_sums.MASS, paid_sums.MATRIX):
                check_array(name, values, largest=LARGEST_POPULARITY, norm=LARGEST_POPULARITY)
            elif values.dtype.kind == "f":
                check_array(name, values)
        settings = self.config.collaborative
        candidates = [settings.candidate(name) for name in settings.selection.candidates]
        try:
            with np.errstate(all="ignore"):
                tables = readings(paid_sums.sums_of(self.config, request.arrays), candidates, self.features)
        except (np.linalg.LinAlgError, ModelError) as error:
            raise ProtocolError(f"the sums of a request cannot be read: {error}", value=request.query) from None
        first, shared = make_scorer(self.config, self.features, request.arrays), SharedParts()
        scorers = [first.read_as(table, one, shared) for table, one in zip(tables, candidates, strict=True)]
        for scorer in scorers:
            check_scorer(scorer)
        return scorers


def expected_gains(scorers: Sequence[Scorer], users: UserBatch) -> Floats:
    """What each scorer does for each user's held-out item: `expected_ndcg` of the share of other items above it.

    Returns:
        float64 [users, scorers], 0 to 1; rows of zeros for users without a held-out item, or for whom some scorer gives
        a score that is not finite.
    """
    gains = np.zeros((len(users), len(scorers)))
    held = users.targets >= 0
    for column, scorer in enumerate(scorers):
        scores = scorer.parts_of(users).total
        held &= np.isfinite(scores).all(axis=1)
        gains[:, column] = expected_ndcg(share_above(scores, users.histories, users.targets))
    gains[~held] = 0.0
    return gains


def share_above(scores: NDArray[np.float32], training: Histories, target: NDArray[np.int32]) -> Floats:
    """Of all items that a user did not touch, the share that scores above the held-out one; ties count half.

    Args:
        scores: [users, items].
        training: the items of each user in training; they do not count.
        target: int [users], the held-out item; of -1 the share means nothing.

    Returns:
        float64 [users], 0 to 1; 0 where there is no other item.
    """
    open_ = np.ones(scores.shape, dtype=np.bool_)
    open_[training.owners, training.items] = False
    rows, own = np.arange(len(target)), np.maximum(target, 0)
    open_[rows, own] = False
    level = scores[rows, own][:, None]
    above = np.count_nonzero((scores > level) & open_, axis=1)
    equal = np.count_nonzero((scores == level) & open_, axis=1)
    return np.asarray((above + 0.5 * equal) / np.maximum(np.count_nonzero(open_, axis=1), 1))


def expected_ndcg(above: Floats) -> Floats:
    """Mean NDCG@10 of an item among 99 others that are drawn independently, a share ``above`` of which beats it.

    With r of them above, r being binomial, the item stands at place r + 1 and gains 1 / log2(r + 2) where r < 10.

    Args:
        above: float64, any shape, 0 to 1.

    Returns:
        float64 of the same shape, 0 to 1, falling.
    """
    q = np.clip(above, 0.0, 1.0)
    total = np.zeros_like(q)
    for r in range(DEPTH):
        total += math.comb(AGAINST, r) * q**r * (1.0 - q) ** (AGAINST - r) / math.log2(r + 2)
    return np.asarray(total)


def selection_rows(gains: Floats, clip: float, default: int) -> Floats:
    """Rows that users add, of their ``gains`` [users, candidates]: how far each is from that of place ``default``, by
    ``clip`` / 2 at most, centred over the candidates, the whole of L2 norm ``clip`` at most.

    Without the bound on each, a candidate unlike all others, such as ranking by popularity, would fill the norm, and
    those users to whom it makes no difference would decide about the rest.
    """
    apart = np.clip(gains - gains[:, [default]], -clip / 2, clip / 2)
    centred = apart - apart.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred * np.minimum(1.0, clip / np.maximum(norms, 1e-12)))
