"""What an answer costs the device, by the settings that it accepted, taken down in its own ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from fedrec.aggregation.question import Question
from fedrec.config import Config
from fedrec.errors import ProtocolError
from fedrec.events.store import EventStore
from fedrec.privacy.accountant import Spend
from fedrec.privacy.device_ledger import BUDGET, Agreement, DeviceLedger
from fedrec.privacy.run_plan import delta_of, spends_of

USERS, DEVICES = "users", "devices"
_MOST = 2**40


def population_of(question: Question) -> tuple[int, int]:
    """How many users and devices the server says that there are; the sum's rows where it says nothing.

    Raises:
        ProtocolError: they are no counts.
    """
    users = question.settings.get(USERS, question.sum.rows)
    devices = question.settings.get(DEVICES, users)
    for count in (users, devices):
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST:
            raise ProtocolError("a question's population is no count", value=count)
    assert isinstance(users, int)
    assert isinstance(devices, int)
    return max(2, users), devices


def charge(store: EventStore, config: Config, catalogue: str, question: Question, run: str) -> None:
    """Take down what an answer to a question costs, inside a transaction of the store that ends before it leaves.

    Raises:
        BudgetExceededError: the device has given enough; see `fedrec.privacy.device_ledger`.
        PrivacyError: the ledger is damaged, or the settings cannot be accounted.
    """
    text = config.model_dump_json(exclude={"speed"})
    key = hashlib.sha256(f"{text} {catalogue}".encode()).hexdigest()
    plan, delta = _plan(config.model_dump_json(), *population_of(question))
    agreement = Agreement(key, plan, delta)
    DeviceLedger(store).charge(agreement, run=run, query=question.query, round=question.round)


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
def _plan(text: str, users: int, devices: int) -> tuple[tuple[Spend, ...], float]:
    config = Config.model_validate_json(text)
    return tuple(spends_of(config, users, devices)), delta_of(config, users)
