"""What an answer costs the device, by what it does itself and by the settings that it accepted, for its own ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import PrivacyError, ProtocolError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.device_entry import Agreement, NoiseBy, digest
from fedrec.privacy.device_ledger import BUDGET, DeviceLedger
from fedrec.privacy.local import local_cost
from fedrec.privacy.run_plan import delta_of, is_local
from fedrec.queries.plan import costs_of
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import DEVICES, Request

USERS = "users"
_MOST: Final = 2**40
_PLAN: Final = "ledger plan"


@dataclass(frozen=True)
class Population:
    """How many users and devices there are, at least 2 and 1."""

    users: int
    devices: int


def population_said(request: Request) -> Population:
    """What the server says that there are; the sum's rows where it says nothing.

    Raises:
        ProtocolError: they are no counts.
    """
    users = request.settings.get(USERS, request.sum.rows)
    devices = request.settings.get(DEVICES, users)
    for count in (users, devices):
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST:
            raise ProtocolError("a request's population is no count", value=count)
    assert isinstance(users, int)
    assert isinstance(devices, int)
    return Population(max(2, users), devices)


@dataclass(frozen=True)
class AnswerCost:
    """What one answer costs, as it was reckoned before anything of it is written.

    ``cost``: of one release where devices add the noise, of a round where this device adds it alone, of all planned
    rounds where the server adds it; None without noise.  ``attempts``: how often a round may be answered.
    """

    agreement: Agreement
    noise: NoiseBy
    cost: QueryCost | None
    attempts: int
    query: str
    round: int

    def charge(self, store: EventStore, run: str) -> None:
        """Take it down, inside a transaction of the store that ends before a history is read.

        Raises:
            BudgetExceededError: the device has given enough; see `fedrec.privacy.device_ledger`.
            PrivacyError: the ledger is damaged.
        """
        ledger = DeviceLedger(store)
        if self.noise == "devices" and self.cost is not None:
            ledger.charge_shared(self.agreement, self.cost, run=run, query=self.query, round=self.round)
        elif self.noise == "device" and self.cost is not None:
            # Of two messages at once, the other may have been the first, which plans for all.
            cost = ledger.last_local(self.agreement.key) or self.cost
            ledger.charge_local(self.agreement, cost, run=run, query=self.query, round=self.round)
        else:
            ledger.charge_trusted(self.agreement, self.cost, self.attempts, run=run, query=self.query, round=self.round)


def agreement_of(config: Config, key: str, population: Population) -> Agreement:
    """What a device accepted with its settings. ``key``: names it, see `DeviceContext.agreement`."""
    return Agreement(key, config.privacy.epsilon, delta_of(config, population.users))


def answer_cost(
    store: EventStore,
    config: Config,
    agreement: Agreement,
    request: Request,
    population: Population,
    *,
    restarts: int = 0,
) -> AnswerCost:
    """Reckon what an answer to a request costs; outside of transactions, since planning may take seconds.

    Args:
        store: the device's.
        config: the settings that it accepted.
        agreement: what is charged under.
        request: what is asked, held to the settings (`fedrec.client.request_policy.check_agreed`).
        population: what there is, which plans of settings look at; the cost of shared noise does not.
        restarts: how often a round with the server's noise may be answered beyond the attempts of the settings.

    Raises:
        PrivacyError: the settings cannot be accounted, or the ledger is damaged.
    """
    noise, cost = _noise_and_cost(store, config, agreement, request, population)
    if cost is None and noise != "none":
        raise PrivacyError("these settings plan no noise for this request", value=request.query)
    attempts = config.secure_aggregation.attempts + restarts
    return AnswerCost(agreement, noise, cost, attempts, request.query, request.round)


def _noise_and_cost(
    store: EventStore, config: Config, agreement: Agreement, request: Request, population: Population
) -> tuple[NoiseBy, QueryCost | None]:
    if config.privacy.epsilon is None:
        return "none", None
    if is_local(config):
        if not QUERIES[request.query].own_noise:
            raise PrivacyError("nobody adds noise to this query where each device adds its own", value=request.query)
        kept = DeviceLedger(store).last_local(agreement.key)
        return "device", kept or local_cost(config, _interactions(store), population.devices)
    if config.privacy.noise_place == "distributed":
        return "devices", shared_cost(request)
    plan = _kept_plan(store, config, population)
    return "server", next((one for one in plan if one.query == request.query), None)


def shared_cost(request: Request) -> QueryCost:
    """What an answer costs where devices share the noise: one release of the Gaussian that honest shares add up to.

    It follows from the share that this device itself adds (`PrivateSum.elements`), and from how many honest shares are
    in any sum that it helps to open (`NoiseShares.honest`, `Thresholds.for_noise`).

    Raises:
        PrivacyError: the request asks for no noise of devices, or for less than any accountant takes.
    """
    return QueryCost(request.query, request.sum.honest_noise)


def local_noise(store: EventStore, config: Config, agreement: str) -> QueryCost | None:
    """The noise of the rounds under an agreement, where the device adds all noise itself; None for a run without.

    Raises:
        PrivacyError: no round was charged, or the ledger is damaged.
    """
    if config.privacy.epsilon is None:
        return None
    cost = DeviceLedger(store).last_local(agreement)
    if cost is None:
        raise PrivacyError("a round with noise of the device's own was not charged", value=config.run.name)
    return cost


def agreement_key(config: Config, catalogue: str) -> str:
    """Names what a simulated device accepted: the settings, but for those of speed, and the catalogue."""
    text = config.model_dump_json(exclude={"speed"})
    return hashlib.sha256(f"{text} {catalogue}".encode()).hexdigest()


def set_budget(store: EventStore, epsilon: float) -> None:
    """Limit what the device gives over all runs; 0 = no limit but that of each run's settings."""
    store.set_setting(BUDGET, json.dumps(epsilon or None))


def budget_of(store: EventStore) -> float | None:
    """The limit that `set_budget` kept; None = none."""
    kept: float | None = json.loads(store.get_setting(BUDGET) or "null")
    return kept


def ledger_facts(store: EventStore) -> dict[str, Any]:
    """The device's ledger, checked, as JSON: its rows, the epsilon of all (null without noise), and the budget.

    Raises:
        PrivacyError: the ledger is damaged.
    """
    ledger = DeviceLedger(store)
    return {
        "epsilon": ledger.spent(),
        "budget": budget_of(store),
        "rows": [asdict(row) for row in ledger.rows()],
    }


def _interactions(store: EventStore) -> int:
    """How many of the device's interactions training may see."""
    return sum(len({event.item for event in store.events(user)} - {*store.held_out(user)}) for user in store.users())


def _kept_plan(store: EventStore, config: Config, population: Population) -> tuple[QueryCost, ...]:
    """The plan of the settings, kept in the store: Flower starts a process for every message to a device."""
    text = config.model_dump_json(exclude={"speed"})
    of = digest([text, population.users, population.devices])
    kept = json.loads(store.get_setting(_PLAN) or "null")
    if kept is not None and kept["of"] == of:
        return tuple(QueryCost(**facts) for facts in kept["costs"])
    plan = _plan(text, population.users, population.devices)
    with store.transaction(durable=True):
        store.set_setting(_PLAN, json.dumps({"of": of, "costs": [cost.facts for cost in plan]}))
    return plan


# Planning for sampled rounds takes seconds, and the devices of a simulation have the same plan.
@lru_cache(maxsize=4)
def _plan(text: str, users: int, devices: int) -> tuple[QueryCost, ...]:
    return tuple(costs_of(Config.model_validate_json(text), users, devices))
