"""An optional re-ranker that trades a little score for variety: maximal marginal relevance.

Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries"
(SIGIR 1998), section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError


def mmr(
    candidates: NDArray[np.integer],
    scores: NDArray[np.floating],
    vectors: NDArray[np.floating],
    k: int,
    *,
    variety: float = 0.3,
) -> NDArray[np.int32]:
    """Pick k of the candidates one by one, each the best of ``(1 - variety) * relevance - variety * likeness``.

    Args:
        candidates: [n] places, distinct, best first; typically the top 50 or 100.
        scores: [n] their scores; relevance is the score scaled to 0 ... 1 over the candidates.
        vectors: [items, width] content of the whole catalogue; likeness is the largest cosine with an item picked.
        k: at least 1; fewer are given where there are fewer candidates.
        variety: 0 (the ranking as it was) to 1 (content only, after the first).

    Returns:
        int32 [min(k, n)] places. Of equals the one that came first in ``candidates`` is picked.

    Raises:
        ModelError: ``variety`` outside 0 to 1, k below 1, or arrays that do not fit each other.
    """
    if not 0 <= variety <= 1 or k < 1:
        raise ModelError("variety is between 0 and 1 and k at least 1", value=(variety, k))
    if candidates.shape != scores.shape or candidates.ndim != 1 or not np.isfinite(scores).all():
        raise ModelError("each candidate needs one finite score", value=(candidates.shape, scores.shape))
    if not len(candidates):
        return np.zeros(0, dtype=np.int32)
    spread = float(scores.max() - scores.min())
    relevance = (scores - scores.min()) / spread if spread > 0 else np.zeros(len(scores))
    content = vectors[candidates].astype(np.float64)
    length = np.linalg.norm(content, axis=1, keepdims=True)
    content = content / np.where(length > 0, length, 1.0)
    value = relevance.astype(np.float64)
    likeness = np.full(len(candidates), -np.inf)
    picked: list[int] = []
    while len(picked) < min(k, len(candidates)):
        value[picked] = -np.inf
        picked.append(int(np.argmax(value)))
        likeness = np.maximum(likeness, content @ content[picked[-1]])
        value = (1.0 - variety) * relevance - variety * likeness
    return np.asarray(candidates[picked], dtype=np.int32)
