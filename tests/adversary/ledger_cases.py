"""A device that is charged for what it is asked, without a model; and what its answers truly cost, reckoned apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import query_cases
from numpy.typing import NDArray
from scipy.special import log_ndtr

from fedrec.client.device import Device, DeviceContext
from fedrec.client.request_policy import check_agreed
from fedrec.client.trust import trust_roster_key
from fedrec.config import Config, from_tree
from fedrec.data.store import EventStore
from fedrec.errors import BudgetExceededError, ProtocolError
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.queries.request import Request
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster

ITEMS: Final = 24
CATALOGUE: Final = query_cases.catalogue(ITEMS)
PARAMETERS: Final = np.linspace(-1, 1, 17, dtype=np.float32)
BASE: Final[Mapping[str, Any]] = {
    "run": {"name": "charged"},
    "model": {"dimension": 8},
    "collaborative": {"cooccurrence": {"enabled": True, "items": 8, "normalise": 1.0}},
    "privacy": {"epsilon": 2.0, "noise_place": "distributed"},
    "secure_aggregation": {"protocol": "secagg+", "rotate": False},
    "evaluation": {"private_metrics": True},
}


def settings(**sections: Mapping[str, Any]) -> Config:
    """The settings above, with keys changed section by section."""
    tree = {name: dict(section) for name, section in BASE.items()}
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    return from_tree(tree)


def request(config: Config, query: str, round_number: int, rows: int) -> Request:
    """A request as these settings lead to it, without noise of devices."""
    match query:
        case "popularity":
            return query_cases.popularity(config, ITEMS, rows)
        case "cooccurrence":
            return query_cases.cooccurrence(config, np.arange(8) * 3, ITEMS, rows)
        case "training":
            return query_cases.training(config, round_number, PARAMETERS, ITEMS, rows)
        case _:
            from fedrec.collaborative.collaborative_factors import CollaborativeFactors

            arrays: dict[str, NDArray[Any]] = {"parameters": PARAMETERS, **CollaborativeFactors.empty(ITEMS).arrays()}
            return query_cases.metrics(config, arrays, ITEMS, rows)


def context_of(config: Config, directory: Path, devices: int) -> DeviceContext:
    """Of a device that has the plain catalogue, and of its manifest what the ledger looks at."""
    manifest: Any = SimpleNamespace(digest="the manifest", users=devices, roster=SimpleNamespace(devices=devices))
    context = DeviceContext(config, directory, manifest)
    vars(context).update(config=config, features=CATALOGUE, catalogue=CATALOGUE.digest())
    return context


def simulated(config: Config, directory: Path) -> DeviceContext:
    """Of a simulated device, which has no manifest."""
    context = DeviceContext(config, directory)
    vars(context).update(config=config, features=CATALOGUE, catalogue=CATALOGUE.digest())
    return context


class ChargedDevice:
    """A device up to where it would read a history: what it agrees to is charged, and then counts as given."""

    def __init__(self, config: Config, directory: Path, roster: Roster, key: DeviceIdentity) -> None:
        self.config, self.roster = config, roster
        self.path = directory / "device.sqlite"
        with EventStore.create(self.path) as store:
            trust_roster_key(store, key.public)
        signed = directory / "roster"
        signed.write_bytes(roster.sign(key))
        self.device = Device(context_of(config, directory, len(roster.devices)), self.path, signed)
        self.given: list[float] = []

    @contextmanager
    def store(self) -> Iterator[EventStore]:
        """Its store; opened anew each time, as a device that was restarted does."""
        with EventStore.open(self.path, check=False) as store:
            yield store

    def asked(self, request: Request, run: str = "run") -> bool:
        """Whether it answers; then what that truly costs it is noted."""
        try:
            check_agreed(self.config, request, CATALOGUE)
            with self.store() as store:
                cost = self.device.cost(store, request)
                with store.transaction(durable=True):
                    cost.charge(store, run)
        except (ProtocolError, BudgetExceededError):
            return False
        self.given.append(true_noise(self.config, request))
        return True

    @property
    def delta(self) -> float:
        """The delta agreed: of the settings, or of the roster's size."""
        return self.config.privacy.delta or len(self.roster.devices) ** -1.1

    def truly_spent(self) -> float:
        """The epsilon of all that it gave, by the noise that was in it."""
        return epsilon_of(math.fsum(noise**-2 for noise in self.given), self.delta)

    def in_its_ledger(self) -> float:
        """What its ledger says, checked from the first row to the last."""
        with self.store() as store:
            ledger = DeviceLedger(store)
            ledger.rows()
            spent = ledger.spent()
        assert spent is not None
        return spent


def true_noise(config: Config, request: Request) -> float:
    """The noise multiplier of the least that can be opened: from a device's own share, and who may be missing or tell.

    Without any code of the accounts: the assumed shares of devices are the settings' own, not the request's.
    """
    assumed, agreed = config.secure_aggregation, request.sum
    if not agreed.noise:
        return 1e-9
    share = agreed.deviation(1) / agreed.resolution
    missing = math.floor(round(assumed.dropout * agreed.devices, 9))
    telling = math.ceil(round(max(assumed.corrupt, assumed.colluding) * agreed.devices, 9))
    honest = agreed.devices - missing - telling
    moved = agreed.sensitivity / agreed.resolution
    return math.sqrt(max(honest * share**2 - 4.0, 1e-18)) / moved


def epsilon_of(total: float, delta: float) -> float:
    """Epsilon of Gaussian releases whose 1/z^2 add up to ``total``: Balle and Wang (2018), solved by halving."""
    if not total:
        return 0.0
    mu = math.sqrt(total)

    def too_small(epsilon: float) -> bool:
        head, tail = log_ndtr(mu / 2 - epsilon / mu), epsilon + log_ndtr(-mu / 2 - epsilon / mu)
        return bool(math.exp(head) - math.exp(min(tail, head)) > delta)

    low, high = 0.0, 1.0
    while too_small(high):
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return high


def roster_of(count: int) -> tuple[Roster, DeviceIdentity]:
    """A roster of so many made-up devices, and the key that signs it."""
    key = DeviceIdentity.from_private_bytes(bytes(range(32)))
    return Roster.of(place.to_bytes(32, "big") for place in range(1, count + 1)), key
