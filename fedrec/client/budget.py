"""What an answer costs the device, by the settings that it accepted, taken down in its own ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import PrivacyError, ProtocolError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.device_ledger import BUDGET, Agreement, DeviceLedger
from fedrec.privacy.local import local_cost
from fedrec.privacy.run_plan import delta_of, is_local
from fedrec.queries.plan import costs_of
from fedrec.queries.request import Request

USERS, DEVICES = "users", "devices"
_MOST = 2**40


def population_of(request: Request) -> tuple[int, int]:
    """How many users and devices the server says that there are; the sum's rows where it says nothing.

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
    return max(2, users), devices


def charge(store: EventStore, config: Config, catalogue: str, request: Request, run: str) -> None:
    """Take down what an answer to a request costs, inside a transaction of the store that ends before it leaves.

    Raises:
        BudgetExceededError: the device has given enough; see `fedrec.privacy.device_ledger`.
        PrivacyError: the ledger is damaged, or the settings cannot be accounted.
    """
    key = _agreement_key(config, catalogue)
    if is_local(config) and config.privacy.epsilon is not None:
        _charge_local(store, config, key, request, run)
        return
    plan, delta = _plan(config.model_dump_json(), *population_of(request))
    agreement = Agreement(key, plan, delta)
    DeviceLedger(store).charge(agreement, run=run, query=request.query, round=request.round)


def local_noise(store: EventStore, config: Config, catalogue: str) -> QueryCost | None:
    """The noise of the round that was last charged, where the device adds all noise itself; None for a run without.

    Raises:
        PrivacyError: no round was charged, or the ledger is damaged.
    """
    if config.privacy.epsilon is None:
        return None
    cost = DeviceLedger(store).last_local(_agreement_key(config, catalogue))
    if cost is None:
        raise PrivacyError("a round with noise of the device's own was not charged", value=config.run.name)
    return cost


def _charge_local(store: EventStore, config: Config, key: str, request: Request, run: str) -> None:
    """The first round plans the noise of all, so that a device that meets more items meanwhile keeps to its plan."""
    ledger, privacy = DeviceLedger(store), config.privacy
    devices = population_of(request)[1]
    cost = ledger.last_local(key) or local_cost(config, _interactions(store), devices)
    if cost is None or privacy.epsilon is None or privacy.delta is None:
        raise PrivacyError("these settings plan no noise for this device", value=request.query)
    agreement = Agreement(key, (), privacy.delta)
    ledger.charge_local(agreement, cost, privacy.epsilon, run=run, query=request.query, round=request.round)


def _interactions(store: EventStore) -> int:
    """How many of the device's interactions training may see."""
    return sum(len({event.item for event in store.events(user)} - {*store.held_out(user)}) for user in store.users())


def _agreement_key(config: Config, catalogue: str) -> str:
    text = config.model_dump_json(exclude={"speed"})
    return hashlib.sha256(f"{text} {catalogue}".encode()).hexdigest()


def set_budget(store: EventStore, epsilon: float) -> None:
    """Limit what the device gives over all runs; 0 = no limit but that of each run's settings."""
    store.set_setting(BUDGET, json.dumps(epsilon or None))


def ledger_facts(store: EventStore) -> dict[str, Any]:
    """The device's ledger, checked, as JSON: its rows, the epsilon of all (null without noise), and the budget.

    Raises:
        PrivacyError: the ledger is damaged.
    """
    ledger = DeviceLedger(store)
    return {
        "epsilon": ledger.spent(),
        "budget": json.loads(store.get_setting(BUDGET) or "null"),
        "rows": [asdict(row) for row in ledger.rows()],
    }


# Planning for sampled rounds takes seconds, and every round of a run has the same plan.
@lru_cache(maxsize=4)
def _plan(text: str, users: int, devices: int) -> tuple[tuple[QueryCost, ...], float]:
    config = Config.model_validate_json(text)
    return tuple(costs_of(config, users, devices)), delta_of(config, users)
