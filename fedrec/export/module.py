"""The final score of every item by a history, as a module of tensors of fixed shapes, which exporters can trace.

The arithmetic is that of `fedrec.ranking.score`, with its parts in `fedrec.ranking.fold_in` and
`fedrec.ranking.evidence`, for one user. Only the solution of the fold-in's equations is found another way, by
conjugate gradients (Hestenes and Stiefel 1952) in a fixed number of steps, since exported graphs have no solver; how
many steps an export takes is measured against the device's own scores (`fedrec.export.parity`).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from fedrec.export.parts import EvidencePart, FoldInPart, RankingParts, TablePart, TowerPart
from fedrec.model.clock import WIDTH
from fedrec.model.history import age
from fedrec.model.layers import unit
from fedrec.ranking.evidence import ERROR, PRIOR_EVENTS, TASTE, TASTE_HALF

HISTORY: Final = 256
"""How many events an exported graph reads, the newest: the length of its input."""
STEPS: Final = 32
"""Of conjugate gradients, where nothing was measured."""
_FLAT: Final = 1e-6
_FLAT_UNSEEN: Final = 1e-5
_TINY: Final = 1e-30


class HistoryScores(nn.Module):
    """Scores of the whole catalogue for one user: (history, time) -> float32 [items], higher is better.

    ``history``: int64 [`length`], places in the catalogue, each once, the newest last, -1 in unused places (at the
    front). ``time``: float32 [4], `fedrec.model.clock`; not read where the release has no context. What was met is
    scored too: whoever asks leaves it out.
    """

    def __init__(self, parts: RankingParts, *, length: int = HISTORY, steps: int = STEPS) -> None:
        super().__init__()
        self.length = length
        self.items = len(parts.ids)
        self.tower = None if parts.tower is None else _Tower(parts.tower)
        self.behaviour = None if parts.table is None else _Behaviour(parts.table, parts.fold_in, steps)
        self.evidence = None if parts.evidence is None else _Evidence(parts.evidence)
        self.register_buffer("popularity", _tensor(parts.popularity))

    def forward(self, history: Tensor, time: Tensor) -> Tensor:
        there = history >= 0
        places = history.clamp(min=0)
        score = self.get_buffer("popularity")
        if self.tower is not None:
            score = score + self.tower(places, there, time)
        if self.behaviour is not None:
            score = score + self.behaviour(places, there)
        return score if self.evidence is None else self.evidence(score, history, places, there)

    def inputs(self) -> tuple[Tensor, Tensor]:
        """Inputs to trace with: a user of whom one item is known, at no time."""
        history = torch.full((self.length,), -1, dtype=torch.int64)
        history[-1] = 0
        return history, torch.zeros(WIDTH)


class _Tower(nn.Module):
    """What the content tower adds."""

    def __init__(self, part: TowerPart) -> None:
        super().__init__()
        self.user, self.context = part.user, part.context
        self.history, self.weight = part.history, part.weight
        self.register_buffer("vectors", _tensor(part.vectors))

    def forward(self, places: Tensor, there: Tensor, time: Tensor) -> Tensor:
        vectors = self.get_buffer("vectors")
        read, mask = vectors.index_select(0, places[-self.history :])[None], there[-self.history :][None]
        user = self.user((read, mask), None, None)
        if self.context is not None:
            user = unit(user + self.context(time[None]))
        return self.weight * _standardised((user @ vectors.T)[0])


class _Behaviour(nn.Module):
    """What the co-occurrence adds: the table, and the fold-in beside it."""

    def __init__(self, part: TablePart, fold_in: FoldInPart | None, steps: int) -> None:
        super().__init__()
        self.recency, self.weight = part.recency, part.weight
        self.register_buffer("history", _tensor(part.history))
        self.register_buffer("candidate", _tensor(part.candidate))
        self.fold_in = None if fold_in is None else _FoldIn(fold_in, steps)

    def forward(self, places: Tensor, there: Tensor) -> Tensor:
        counts = (1.0 + age(there[None])[0].to(torch.float32)) ** -self.recency * there
        user = counts[None] @ self.get_buffer("history").index_select(0, places)
        score = _standardised((user @ self.get_buffer("candidate").T)[0])
        if self.fold_in is not None:
            share = self.fold_in.share
            score = _standardised((1.0 - share) * score + share * self.fold_in(places, counts))
        return self.weight * score


class _FoldIn(nn.Module):
    """The user's place among factors, and every item's score from there."""

    def __init__(self, part: FoldInPart, steps: int) -> None:
        super().__init__()
        self.unknown, self.ridge, self.share, self.steps = part.unknown, part.ridge, part.share, steps
        self.register_buffer("factors", _tensor(part.factors))
        self.register_buffer("spread", torch.tensor(part.spread, dtype=torch.float32))

    def forward(self, places: Tensor, counts: Tensor) -> Tensor:
        factors, spread = self.get_buffer("factors"), self.get_buffer("spread")
        known = counts.sum() + self.unknown * len(factors)
        length = torch.rsqrt(self.unknown * spread + self.ridge * known)
        root = counts.sqrt()
        own = factors.index_select(0, places) * root[:, None] * length
        user = length * _conjugate(own, root[None] @ own, self.steps)
        return _standardised((user @ factors.T)[0])


def _conjugate(own: Tensor, wanted: Tensor, steps: int) -> Tensor:
    """x [1, k] of x (1 + own^T own) = wanted, for own [n, k]. The matrix is positive, its least eigenvalue 1.

    All are rows: ONNX Runtime 1.32 takes a transposed matrix times a vector for something else.
    """
    found, rest, direction = torch.zeros_like(wanted), wanted, wanted
    squared = rest.square().sum()
    for _ in range(steps):
        turned = direction + (direction @ own.T) @ own
        step = squared / (direction * turned).sum().clamp(min=_TINY)
        found, rest = found + step * direction, rest - step * turned
        before, squared = squared, rest.square().sum()
        direction = rest + squared / before.clamp(min=_TINY) * direction
    return found


class _Evidence(nn.Module):
    """The score weighed against popularity by how much each tells of the user; there are no notes and no photos."""

    def __init__(self, part: EvidencePart) -> None:
        super().__init__()
        self.reads_events = part.reads_events
        self.register_buffer("popular", _tensor(part.popular))
        self.register_buffer("popularity", _tensor(part.popularity))

    def forward(self, score: Tensor, history: Tensor, places: Tensor, there: Tensor) -> Tensor:
        popular = self.get_buffer("popular")
        # Padding marks a place beyond the catalogue.
        met = torch.where(there, history, len(popular))
        unseen = torch.ones(len(popular) + 1).scatter(0, met, 0.0)[: len(popular)]
        count = unseen.sum().clamp(min=1.0)
        (first, first_scale), (second, second_scale) = (_among(one, unseen, count) for one in (score, popular))
        events = there.sum().to(torch.float32)
        told = events if self.reads_events else torch.zeros_like(events)
        taste = TASTE * (told / (told + TASTE_HALF)).sqrt()
        mass = unseen * self.get_buffer("popularity")
        by_popularity = (mass * second).sum() / mass.sum().clamp(min=_TINY)
        said = (second.index_select(0, places) * there).sum()
        held = torch.minimum(by_popularity, (PRIOR_EVENTS * by_popularity + said) / (PRIOR_EVENTS + events))
        both = (unseen * first * second).sum() / count
        own, other = _weights(taste, held, both, first_scale > 0, second_scale > 0)
        return own * first_scale * score + other * second_scale * popular


def _among(score: Tensor, unseen: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """A score standardised over what was not met, and what it was multiplied by: 0 where it says the same of all."""
    centred = score - (score * unseen).sum() / count
    centred = centred - (centred * unseen).sum() / count
    spread = ((centred.square() * unseen).sum() / count).sqrt()
    flat = spread <= (_FLAT_UNSEEN * score.abs().max()).clamp(min=_TINY)
    scale = torch.where(flat, 0.0, 1.0 / torch.where(flat, 1.0, spread))
    return centred * scale, scale


def _weights(first: Tensor, second: Tensor, both: Tensor, there: Tensor, popular: Tensor) -> tuple[Tensor, Tensor]:
    """Fisher's weights of two parts of unit variance and correlation ``both``, none below 0.

    A part that says nothing, or would get less than 0, is left out, and the other weighed by itself.
    """
    own = 1.0 + ERROR
    left = 1.0 / (own * own - both * both)
    one, other = (own * first - both * second) * left, (own * second - both * first) * left
    keep_one, keep_other = there & (~popular | (one >= 0)), popular & (~there | (other >= 0))
    one = torch.where(keep_one, torch.where(keep_other, one, first / own), 0.0)
    other = torch.where(keep_other, torch.where(keep_one, other, second / own), 0.0)
    return one.clamp(min=0.0), other.clamp(min=0.0)


def _standardised(scores: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1; all 0 where the spread is only rounding. See `fedrec.ranking.standardise`."""
    centred = scores - scores.mean()
    centred = centred - centred.mean()
    spread = centred.square().mean().sqrt()
    flat = spread <= (_FLAT * scores.abs().max()).clamp(min=_TINY)
    return torch.where(flat, 0.0, centred / torch.where(flat, 1.0, spread))


def _tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
