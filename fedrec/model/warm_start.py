"""Start the heads from the catalogue: public content, so it costs no privacy.

A random projection keeps cosines only roughly (an error of about dimension^-1/2 a pair).  The best linear map into so
few coordinates is known: the leading eigenvectors of the features' joint second moment keep the inner products of all
pairs of items best in the least-squares sense (Eckart and Young 1936).  Two more things help profiles made of such
vectors: without the mean, what all items share no longer ranks; and evening the directions out somewhat keeps the few
strongest (a genre, a blurb's boilerplate) from drowning the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedrec.errors import ModelError
from fedrec.model.encoder_head import Head
from fedrec.model.encoder_lora import LoraText
from fedrec.model.encoder_low_rank import LowRankHead
from fedrec.model.layers import EPSILON
from fedrec.model.recommender import Recommender
from fedrec.model.registry import FUSIONS

_CHUNK = 8192
AnyHead = Head | LowRankHead


def fit_heads(
    model: Recommender,
    values: Mapping[str, NDArray[np.generic]],
    present: Mapping[str, NDArray[np.bool_]],
    weights: Mapping[str, float] | None = None,
    *,
    evenness: float = 0.5,
) -> None:
    """Set the linear heads so that, with equal fusion weights, item vectors keep the catalogue's content kernel.

    The kernel of two items is the weighted sum, over the modalities, of the inner products of their features after
    scaling to length 1 and subtracting the catalogue's mean; the features of a `LoraText` are what its pretrained layer
    makes of them, seen from their mean.  Encoders trained from scratch are left as they are, and
    the heads use the coordinates of the item space that were theirs.  Fusions that do not add vectors up (``max``,
    ``late``) get each modality's own leading directions, in its own coordinates.

    A low-rank head is trained along the leading directions of its modality's features from then on.

    The server does this once and sends the parameters; a device needs no catalogue for it.

    Args:
        model: changed in place; the same on one machine, up to rounding on another.
        values: modality to the catalogue's features [n, width], as in ``content.features.Features``.
        present: modality to bool [n].
        weights: what each modality counts in the kernel, at least 0 (default 1 each).
        evenness: 0 keeps the spread of the directions as it is in the catalogue, 1 gives all the same.

    Raises:
        ModelError: a modality is missing, has another width than the model's, values that are not finite where
            present, a negative weight, or an evenness outside of 0 to 1.
    """
    heads = {name: head for name, encoder in model.encoders.items() if (head := _head(encoder)) is not None}
    if not 0.0 <= evenness <= 1.0:
        raise ModelError("evenness must be between 0 and 1", value=evenness)
    if not heads:
        return
    share = {name: float((weights or {}).get(name, 1.0)) for name in heads}
    for name in heads:
        _check(model, name, values, present, share[name])
    scaled, means = {}, {}
    for name in heads:
        encoder, given = model.encoders[name], values[name]
        ready = encoder.centre_on(given, present[name]) if isinstance(encoder, LoraText) else given
        scaled[name], means[name] = _centred(ready, present[name], share[name])
    together = FUSIONS[model.settings.fusion].adds_up
    for group in [heads] if together else [{name: head} for name, head in heads.items()]:
        places = sorted({p for head in group.values() for p in head.subspace.places})
        leading = _leading([scaled[name] for name in group], len(places), evenness)
        _write(group, places, leading, means, share, model.settings.dimension)
    for name, head in heads.items():
        if isinstance(head, LowRankHead):
            directions = _leading([scaled[name]], head.rank, 0.0)
            lengths = np.linalg.norm(directions, axis=1)
            known = lengths > 0
            head.look_along(torch.from_numpy(directions[known] / lengths[known, None]), torch.from_numpy(means[name]))


def _head(encoder: nn.Module) -> AnyHead | None:
    """The head over what is there before training, if the encoder has one."""
    inner = encoder.head if isinstance(encoder, LoraText) else encoder
    return inner if isinstance(inner, AnyHead) else None


def _check(
    model: Recommender,
    name: str,
    values: Mapping[str, NDArray[np.generic]],
    present: Mapping[str, NDArray[np.bool_]],
    weight: float,
) -> None:
    if name not in values or name not in present:
        raise ModelError(f"the catalogue has no features of {name}", value=sorted(values), action="Encode it first")
    shape, there = values[name].shape, present[name]
    if shape[1:] != model.shapes[name] or there.shape != shape[:1]:
        raise ModelError(
            f"features of {name} do not fit the model", value=shape, action=f"Give [n, *{model.shapes[name]}]"
        )
    if not np.isfinite(values[name][there].astype(np.float64)).all():
        raise ModelError(f"features of {name} must be finite where present", action="Encode the catalogue again")
    if not (weight >= 0 and np.isfinite(weight)):
        raise ModelError(f"the weight of {name} must be at least 0", value=weight)


def _centred(
    values: NDArray[np.generic], present: NDArray[np.bool_], weight: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features as the head sees them, minus their mean, times the root of the weight (0 where missing); the mean."""
    raw = np.where(present[:, None], values, 0).astype(np.float64)
    scaled = raw / np.sqrt(np.square(raw).sum(1, keepdims=True) + EPSILON)
    mean = scaled.sum(0) / max(int(present.sum()), 1)
    return (scaled - mean) * present[:, None] * weight**0.5, mean


def _leading(blocks: list[NDArray[np.float64]], size: int, evenness: float) -> NDArray[np.float64]:
    """The ``size`` leading directions [size, all widths]; zero rows where the catalogue has no more.

    Each has its largest entry positive; item vectors have mean squared length 1 on them.
    """
    joint = np.concatenate(blocks, 1)
    moment = np.zeros((joint.shape[1], joint.shape[1]))
    for start in range(0, len(joint), _CHUNK):
        moment += joint[start : start + _CHUNK].T @ joint[start : start + _CHUNK]
    spread, vectors = np.linalg.eigh(moment)
    kept = np.flatnonzero(spread > 1e-9 * max(spread[-1], EPSILON))[::-1][:size]
    leading, spread = vectors[:, kept].T, spread[kept]
    leading *= np.sign(leading[np.arange(len(kept)), np.abs(leading).argmax(1)])[:, None]
    total = float((spread ** (1 - evenness)).sum())
    leading *= spread[:, None] ** (-evenness / 2) * (len(joint) / max(total, EPSILON)) ** 0.5
    return np.concatenate([leading, np.zeros((size - len(leading), joint.shape[1]))])


def _write(
    heads: Mapping[str, AnyHead],
    places: list[int],
    directions: NDArray[np.float64],
    means: Mapping[str, NDArray[np.float64]],
    share: Mapping[str, float],
    dimension: int,
) -> None:
    start = 0
    for name, head in heads.items():
        part = directions[:, start : start + head.width] * share[name] ** 0.5
        start += head.width
        weight, bias = torch.zeros(dimension, head.width), torch.zeros(dimension)
        weight[places] = torch.from_numpy(part).float()
        bias[places] = torch.from_numpy(-part @ means[name]).float()
        head.start(weight, bias)
