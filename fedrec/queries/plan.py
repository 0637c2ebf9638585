"""What a run will ask, and what each query may cost: from a config to the costs that ledgers are held to.

Server and devices reckon it each for themselves, from the same settings and the same registry of queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.calibrate import plan, with_room
from fedrec.privacy.ledger import Budget
from fedrec.privacy.registry import declared
from fedrec.privacy.run_plan import delta_of, is_local
from fedrec.privacy.statement import privacy_statement
from fedrec.queries.query import Query, Stage
from fedrec.queries.registry import QUERIES
from fedrec.queries.schedule import asked_by


def shares_of(config: Config, queries: Sequence[Query]) -> dict[str, float]:
    """The part of the budget, as a part of 1/z^2, that each of some queries gets: as set, or each query's own default.

    Raises:
        ConfigError: ``privacy.shares`` is set, and leaves one of them out.
    """
    set_by_hand = config.privacy.shares
    if not set_by_hand:
        return {query.name: query.default_share for query in queries}
    missing = sorted(query.name for query in queries if query.name not in set_by_hand)
    if missing:
        raise ConfigError(
            "a query has no share of the privacy budget", value=missing, action="Add it to privacy.shares"
        )
    return {query.name: set_by_hand[query.name] for query in queries}


def costs_of(config: Config, users: int, devices: int | None = None) -> list[QueryCost]:
    """The noise of each query, so that all of them together cost the run's epsilon; empty for a run without noise.

    Empty too where devices add all noise themselves: then no noise goes by the sum, see `fedrec.privacy.local`.

    ``devices``: how many there are, of which training draws; one a user where it is None.

    Raises:
        PrivacyError: the budget cannot be met.
        ConfigError: the shares or the sampling do not fit what is asked.
    """
    privacy = config.privacy
    if privacy.epsilon is None or is_local(config):
        return []
    if privacy.unit == "example" and (config.model.notes or config.model.photos):
        raise ConfigError(
            "unit 'example' protects interactions; notes and photos are of a user and would go unprotected",
            action="Set model.notes and model.photos to false, or privacy.unit to 'user'",
        )
    queries = asked_by(config)
    spare = privacy.spare_attempts if privacy.noise_place == "distributed" else 0
    taken = {query.name: query.participation(config, users, users if devices is None else devices) for query in queries}
    costs = plan(
        privacy.epsilon,
        delta_of(config, users),
        shares_of(config, queries),
        {name: part.rounds for name, part in taken.items()},
        {name: (part.sampling, part.probability) for name, part in taken.items()},
        {name: part.minimum_separation for name, part in taken.items()},
        {query.name: declared(query.mechanism(config)) for query in queries},
        {name: part.secret for name, part in taken.items()},
    )
    return with_room(costs, spare)


def rows_of(config: Config, users: int) -> int:
    """The most rows in the sums of the queries that are asked of sampled cohorts; users where there is none."""
    return max((query.rows(config, users) for query in QUERIES if query.sampled), default=users)


def budget_of(config: Config, users: int) -> Budget | None:
    """What the server's ledger may spend; None without noise, and where devices add and account for all noise."""
    if config.privacy.epsilon is None or is_local(config):
        return None
    return Budget(config.privacy.epsilon, delta_of(config, users), config.privacy.unit)


def cut_short_by(config: Config) -> frozenset[str]:
    """The queries that a config asks while it trains, which end early with it; none where nothing can end it early."""
    if not config.training.validated:
        return frozenset()
    return frozenset(query.name for query in asked_by(config) if query.stage is Stage.TRAINING)


def statement_of(
    config: Config, costs: Sequence[QueryCost], delta: float, *, delta_of_samples: float = 0.0
) -> dict[str, Any]:
    """The `privacy_statement` of a run with these settings; where ``auto`` was not settled, of engine ``cohort``."""
    place = config.privacy.noise_place
    return privacy_statement(
        costs,
        unit=config.privacy.unit,
        delta=delta,
        delta_of_samples=delta_of_samples,
        protocol=config.secure_aggregation.protocol,
        noise_place="server" if place == "auto" else place,
        promised=config.privacy.epsilon,
        headline=frozenset(query.name for query in QUERIES if query.sampled),
        mechanisms={query.name: query.mechanism(config) for query in QUERIES},
        choosing=frozenset(query.name for query in QUERIES if query.chooses_settings),
    )


def described(results: Mapping[str, Any]) -> dict[str, Any]:
    """What each query found, as JSON: for ``run.json`` and the report; those that are shown elsewhere are left out."""
    found = {query.name: query.describe(results[query.name]) for query in QUERIES if query.name in results}
    return {name: one for name, one in found.items() if one is not None}


def quality_of_sums(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the queries that measure quality found, by a name for people: what a private release may say of itself."""
    found = described(results)
    return {
        f"private {query.name} query": found[query.name]
        for query in QUERIES
        if query.measures_quality and query.name in found
    }


def choice_of_sums(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the devices chose, see `Query.choice`; None where they were not asked."""
    chosen = (query.choice(results[query.name]) for query in QUERIES if query.name in results)
    return next((one for one in chosen if one is not None), None)


def warnings_of_sums(results: Mapping[str, Any]) -> list[str]:
    """What queries found that a reader must know first, see `Query.warnings`."""
    return [said for query in QUERIES if query.name in results for said in query.warnings(results[query.name])]
