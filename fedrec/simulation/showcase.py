"""Three people for the report: what they chose, and what their devices would recommend, with reasons."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedrec.ranking.explain import explain
from fedrec.ranking.score import Scorer
from fedrec.ranking.speaking import speaking_events
from fedrec.ranking.topk import id_order, top_k, without_seen
from fedrec.simulation.study import Study

_HISTORY, _TOP = 8, 10


def showcase(study: Study, scorer: Scorer, *, people: int = 3) -> list[dict[str, Any]]:
    """One with a short, one with a usual and one with a long history, in the form that the report takes."""
    lengths = study.known.histories.lengths
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    places = order[np.linspace(0, len(order) - 1, people + 2).astype(int)[1:-1]] if len(order) else order
    return [_person(study, scorer, int(place)) for place in dict.fromkeys(places.tolist())]


def _person(study: Study, scorer: Scorer, place: int) -> dict[str, Any]:
    known = study.known.take(np.array([place]))
    scores = without_seen(scorer.parts_of(known).total, known.histories)
    best = top_k(scores, _TOP, order=id_order(study.features.ids))[0]
    listed = best[best >= 0].astype(np.int64)
    found, spoken = explain(scorer, known, listed), speaking_events(scorer, known.histories, listed)
    return {
        "user": study.dataset.users[place],
        "history": [_item(study, int(item)) for item in known.histories.items[-_HISTORY:]],
        "recommendations": [
            {
                **_item(study, one.item),
                "rank": rank,
                "score": one.score,
                "shares": dict(one.shares),
                "nearest": None if one.nearest is None else study.dataset.items[one.nearest].title,
                "reason": one.reason,
                "events": [
                    {"title": study.dataset.items[said.item].title, "share": said.share, "alike": dict(said.alike)}
                    for said in events
                ],
            }
            for rank, (one, events) in enumerate(zip(found, spoken, strict=True), start=1)
        ],
    }


def _item(study: Study, place: int) -> dict[str, Any]:
    record = study.dataset.items[place]
    return {"item": record.id, "title": record.title, "image": record.image}
