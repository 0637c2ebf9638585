"""The search of ``fedrec recommend --query`` and ``--picture``: on the device, by its own release."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from fedrec.console import figure, print_json, show_table


@dataclass(frozen=True)
class SearchOptions:
    """What is searched for: words, a picture's file, or both; ``taste``: 0 to 1; ``top``: how many at most."""

    query: str | None
    picture: Path | None
    taste: float
    top: int


def tell_search(
    asked: SearchOptions,
    release: Path,
    store: Path,
    user: str,
    *,
    trusted_key: Path | None,
    allow_older: bool,
    as_json: bool,
) -> None:
    """Search for one user of a store and print what was found. Raises as `fedrec.client.search.search`."""
    from fedrec.client.ranker import Ranker
    from fedrec.client.release_memory import remembered_release
    from fedrec.client.search import search
    from fedrec.data.store import EventStore

    with (
        EventStore.open(store) as opened,
        remembered_release(release, opened, trusted_key=trusted_key, allow_older=allow_older) as trusted,
    ):
        ranker = Ranker(trusted)
        picture = None if asked.picture is None else asked.picture.read_bytes()
        known = ranker.known(opened, user)
        found = search(ranker, asked.query, picture, known=known, taste=asked.taste, top=asked.top)
    if as_json:
        print_json({"query": asked.query, "found": [asdict(one) for one in found]})
        return
    rows = [(one.rank, one.title or one.item, figure(one.score), one.reason) for one in found]
    title = "For the picture" if asked.query is None else f"For {asked.query!r}"
    show_table(title, ("", "title", "score", "why"), rows, numbers=(0, 2))
