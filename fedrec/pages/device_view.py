"""What the device's pages say, as plain values for their templates."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedrec.client.given import GivenSums
from fedrec.client.search import FoundItem
from fedrec.console import figure
from fedrec.pages.device_desk import DeviceDesk, DeviceView
from fedrec.queries.registry import QUERIES

_PARTS = {
    "behaviour": "liked together",
    "text": "its text",
    "image": "its picture",
    "audio": "its sound",
    "video": "its video",
    "attributes": "its kind",
    "popularity": "popular",
    "id": "its own vector",
    "notes": "your notes",
    "photos": "your photos",
}
_NOISE = {
    "devices": "this device and others together",
    "device": "this device alone",
    "server": "the server, by its word",
    "none": "nobody",
}


def picks_of(desk: DeviceDesk, view: DeviceView) -> list[dict[str, Any]]:
    """The list: each item with its picture, why it is there, what its score is made of, and how it moved."""
    return [
        {
            **_card(desk, pick.item),
            "rank": pick.rank,
            "reason": pick.reason,
            "shares": _shares(pick.shares),
            "rating": None if pick.rating is None else figure(pick.rating, 1),
            "move": _move(view.moved, pick.item),
        }
        for pick in view.picks
    ]


def cards_of(desk: DeviceDesk, items: Iterable[str]) -> list[dict[str, Any]]:
    """Items by their title, with what a picture is found by."""
    return [_card(desk, item) for item in items]


def searched_of(desk: DeviceDesk, found: Sequence[FoundItem]) -> list[dict[str, Any]]:
    """What a search found."""
    return [{**_card(desk, one.item), "rank": one.rank, "reason": one.reason} for one in found]


def gave_of(given: GivenSums) -> dict[str, Any]:
    """What has left the device: the sums that it added to, what they cost, and what is left of its limit."""
    share = None
    if given.limit and given.epsilon is not None:
        share = min(1.0, given.epsilon / given.limit)
    return {
        "epsilon": figure(given.epsilon, 2),
        "limit": "none" if given.limit is None else figure(given.limit, 2),
        "limit_value": "" if given.limit is None else f"{given.limit:g}",
        "left": figure(given.left, 2),
        "share": share,
        "answers": given.answers,
        "unrecorded": given.unrecorded,
        "problems": [problem for one in given.agreements for problem in one.problems],
        "sums": [
            {
                "run": one.run,
                "query": one.query,
                "about": _about(one.query),
                "rounds": _rounds(one.rounds),
                "noise": ", ".join(_NOISE[noise] for noise in one.noise),
                "trusted": "server" in one.noise,
                "first": one.first,
                "last": one.last,
            }
            for one in given.sums
        ],
    }


def _card(desk: DeviceDesk, item: str) -> dict[str, Any]:
    title = desk.titles.get(item) or item
    return {"item": item, "title": title, "letter": title[:1].upper(), "pictured": item in desk.pictured}


def _shares(shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """What matters of a score, the largest first: its name and percents, its colour, and where its piece begins."""
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    found, begin = [], 0.0
    for name, share in ordered:
        if share >= 0.005:
            colour = name if name in _PARTS else "other"
            piece = {"name": _PARTS.get(name, name), "percent": round(100 * share), "colour": colour}
            found.append({**piece, "begin": 100 * begin, "width": 100 * share})
            begin += share
    return found


def _move(moved: Mapping[str, int | None], item: str) -> tuple[str, str]:
    """(what is shown, what is said) of how an item moved; empty where it stayed, or nothing is known."""
    if item not in moved:
        return "", ""
    rose = moved[item]
    if rose is None:
        return "new", "new in the list"
    if rose == 0:
        return "", ""
    return (f"▲ {rose}", f"{rose} up") if rose > 0 else (f"▼ {-rose}", f"{-rose} down")


def _rounds(rounds: Sequence[int]) -> str:
    if len(rounds) <= 3:
        return ", ".join(map(str, sorted(rounds)))
    return f"{min(rounds)} to {max(rounds)} ({len(rounds)})"


def _about(query: str) -> str:
    """What a query asks, by the first line of its module; empty for one that is not known here."""
    if query not in QUERIES.names():
        return ""
    text = (sys.modules[type(QUERIES[query]).__module__].__doc__ or "").strip().split("\n")[0]
    return text.partition(":")[2].strip().rstrip(".")
