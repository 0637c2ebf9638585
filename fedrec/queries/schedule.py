"""The order of a run: which query is asked when, and the number of each sum, as server and devices both reckon it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries.query import Query, Stage
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Broadcast, Request


@dataclass(frozen=True)
class Scheduled:
    """One round of one query. ``number``: its place in the run, from 0."""

    number: int
    query: Query
    round: int

    @property
    def stage(self) -> Stage:
        """The part of the run that it belongs to."""
        return self.query.stage


def asked_by(config: Config) -> list[Query]:
    """The queries that a config asks, in the order of the registry.

    Raises:
        ConfigError: what is asked follows from numbers of users and items that were not filled in yet.
    """
    check_settled(config)
    return [query for query in QUERIES if len(query.rounds(config))]


def schedule(config: Config) -> tuple[Scheduled, ...]:
    """All rounds of all queries of a config, in the order in which a run asks them. Raises as `asked_by`."""
    check_settled(config)
    return _schedule(config.model_dump_json(exclude={"speed"}), QUERIES.names())


def check_settled(config: Config) -> None:
    """Raise ConfigError where sizes that follow from the noise are still open: both sides need the same numbers."""
    if config.collaborative.follows_noise:
        raise ConfigError(
            "with collaborative.follows_noise it is open what is asked",
            value=config.model.preset,
            action="Settle it with the numbers of users and items, as `fedrec manifest sign` and `fedrec simulate` do "
            "(fedrec.queries.sizing.sized_by_noise), and give devices and server the same",
        )


def number_of(config: Config, query: str, round_number: int) -> int:
    """The number of a sum within its run: no two have the same, and they only go up.

    Raises:
        ProtocolError: a config does not ask this query in this round.
    """
    for scheduled in schedule(config):
        if (scheduled.query.name, scheduled.round) == (query, round_number):
            return scheduled.number
    raise ProtocolError(f"{query} is not asked in this round", value=round_number)


def make_request(
    query: Query,
    config: Config,
    round_number: int,
    said: Broadcast,
    rows: int,
    features: Features,
    *,
    number: int | None = None,
) -> Request:
    """The request of one round, the same on both sides.

    Args:
        query: what is asked.
        config: the settings.
        round_number: one of ``query.rounds(config)``.
        said: what is the server's to say.
        rows: the most rows in the sum, which is the server's to say, too.
        features: of the catalogue.
        number: of the sum in its run; None = by the schedule. Given by whoever asks outside of a run, such as an
        attack.

    Raises:
        ConfigError, ProtocolError: the settings, or what the server said, do not lead to a request.
    """
    arrays = {**said.arrays, **query.derived(config, round_number, said, features)}
    agreed = query.sum(config, said, rows, features)
    if number is None:
        number = number_of(config, query.name, round_number)
    return Request(query.name, round_number, number, agreed, arrays, dict(said.settings))


# Every message of a run needs it, and the settings of a process are few.
@lru_cache(maxsize=8)
def _schedule(text: str, names: tuple[str, ...]) -> tuple[Scheduled, ...]:
    config = Config.model_validate_json(text)
    rounds: list[tuple[Any, ...]] = []
    for at, name in enumerate(names):
        query = QUERIES[name]
        rounds += [(query.stage, *query.place(config, number), at, number, query) for number in query.rounds(config)]
    rounds.sort(key=lambda row: (row[0], row[1:-3], row[-3], row[-2]))
    return tuple(Scheduled(place, row[-1], row[-2]) for place, row in enumerate(rounds))
