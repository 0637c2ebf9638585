"""A device: its own store, and what it knows of the catalogue and the run; it turns a request into a share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.client.budget import AnswerCost, Population, agreement_of, answer_cost, local_noise, population_said
from fedrec.client.device_context import DeviceContext
from fedrec.client.device_files import DeviceFiles
from fedrec.client.request_policy import check_agreed, claim
from fedrec.client.shared_work import SharedWork, current
from fedrec.client.trust import accepted_manifest, roster_of
from fedrec.config import from_run_config, with_protocol
from fedrec.config.presets import with_preset
from fedrec.config.run_config import OWN_KEYS, config_of
from fedrec.config.simulated import is_simulated, refuse_reproducible
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries.request import Request
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.run_manifest_draft import settled_for_devices
from fedrec.queries.wire import Envelope
from fedrec.randomness import fresh_key, key
from fedrec.training.local_noise import LocalNoise, local_noise_of
from fedrec.users import Histories, UserBatch, keys_of

if TYPE_CHECKING:
    from fedrec.client.load_population import LoadedPopulation

_log = logging.getLogger(__name__)
# To a simulated device, which has no manifest, a run that was cut off is another run each time.
_RESTARTS: Final = 12
_APP: Final = Path(__file__).resolve().parent.parent.parent


class Device:
    """One device.

    Args:
        device_context: of the process.
        store: path of its event store; opened for each request, so that a device that is cut off holds nothing open.
        roster: a file with the signed roster, for secure aggregation.
        shared: what it has in common with the other simulated devices of its process; None on a device of a person.
    """

    def __init__(
        self, device_context: DeviceContext, store: Path, roster: Path | None = None, shared: SharedWork | None = None
    ) -> None:
        self.device_context = device_context
        self.store = store
        self.roster = roster
        self.shared = shared

    def opened(self, *, check: bool = True) -> AbstractContextManager[EventStore]:
        """Its store, open while the context lasts; see `EventStore.open`, and for simulated devices `SharedWork`."""
        if self.shared is None:
            return EventStore.open(self.store, check=check)
        return self.shared.store(self.store, check=check)

    def answer(self, asked: Envelope, run: str) -> bytes:
        """The encoded contribution of this device's users to a sum; of a device without any, zeros.

        Args:
            asked: the request.
            run: identifies the run; each request of it is answered once.

        Raises:
            BudgetExceededError: the device has given enough.
            ProtocolError: the request is none that this device agreed to, or was answered before; or the device's
                settings ask for secure aggregation, and then nothing leaves it unmasked.
            StoreError: the store is missing or damaged.

        Refusals come before a user's data is read.  Afterwards the device answers whatever it holds: with zeros where
        its contribution cannot be computed.
        """
        known, request = self.device_context, asked.request
        if known.config.secure_aggregation.protocol != "none":
            raise ProtocolError("this device sends masked contributions only", value=request.query)
        known.check_catalogue(asked.catalogue)
        check_agreed(known.config, request, known.features)
        known.handler.check(request)
        with self.opened() as store:
            cost = self.cost(store, request)
            with store.transaction(durable=True):
                claim(store, run, asked.session, request, attempts=known.config.secure_aggregation.attempts)
                cost.charge(store, run)
            part, key = self._told(store, request)
        return request.sum.packed(request.sum.written(part, key=key))

    def cost(self, store: EventStore, request: Request) -> AnswerCost:
        """What an answer costs this device, reckoned but not taken down.

        How many users and devices there are is in the manifest. A simulated device, which has none, looks into its
        roster, and without one takes the server's word.

        Raises:
            PrivacyError: the settings cannot be accounted, or the ledger is damaged.
            ConfigError, ProtocolError: the roster is not to be believed.
        """
        known, population = self.device_context, population_said(request)
        restarts = _RESTARTS if known.manifest is None else 0
        if known.manifest is not None:
            population = Population(max(2, known.manifest.users), known.manifest.roster.devices)
        elif self.roster is not None:
            devices = len(roster_of(store, self.roster).devices)
            population = Population(max(2, devices), devices)
        agreement = agreement_of(known.config, known.agreement, population)
        return answer_cost(store, known.config, agreement, request, population, restarts=restarts)

    def elements(self, store: EventStore, request: Request) -> NDArray[np.uint64]:
        """The contribution as ring elements, which must not leave the device unmasked; uint64 [request.sum.length].

        Raises as `answer` does, but does not look at what was agreed or answered: the caller has.
        """
        part, key = self._told(store, request)
        return request.sum.written(part, key=key)

    def _told(self, store: EventStore, request: Request) -> tuple[NDArray[np.float64], bytes]:
        """The sum of its users' parts, and the key of its rounding.

        A contribution that cannot be computed is nobody's: its absence would say what the store holds.
        """
        try:
            return self._of(store, request, self._collected(store))
        except Exception as error:  # whatever it is; its text may hold a user's words, so its kind is all that is noted
            _log.error("a contribution could not be computed, and is nobody's: %s", type(error).__name__)
        try:
            return self._of(store, request, _nobody())
        except Exception as error:
            _log.error("a contribution of nobody's could not be computed: %s", type(error).__name__)
        return np.zeros(request.sum.length), self._key(request, _nobody())

    def _of(
        self, store: EventStore, request: Request, collected: LoadedPopulation
    ) -> tuple[NDArray[np.float64], bytes]:
        own, handler = self._own_noise(store, request, collected), self.device_context.handler
        rows = handler.rows(request, collected.population)
        if rows > request.sum.rows:
            raise ProtocolError("this device holds more rows than the sum has room for", value=rows)
        if self.device_context.sliced and own is None and rows:
            return handler.together(request, collected.population), self._key(request, collected)
        return handler.contribution(request, collected.population, own), self._key(request, collected)

    def _collected(self, store: EventStore) -> LoadedPopulation:
        """The device's users as they are now; those of a slice, to which nothing is added, as they were at first."""
        if not self.device_context.sliced:
            return self._loaded(store)
        kept = self.device_context.slices
        if self.store not in kept:
            kept[self.store] = self._loaded(store)
        return kept[self.store]

    def _loaded(self, store: EventStore) -> LoadedPopulation:
        from fedrec.client.load_population import load_population

        notes, photos = self.device_context.own_encoders
        config = self.device_context.config
        collected = load_population(
            store,
            self.device_context.index,
            notes=notes,
            photos=photos,
            times=config.model.context,
            positive_ratings=config.data.positive_ratings,
            ratings=config.collaborative.ratings.used,
        )
        if collected.unknown:
            _log.info("%d events are about items that the catalogue does not know", collected.unknown)
        return collected

    def _key(self, request: Request, collected: LoadedPopulation) -> bytes:
        """What decides how the contribution is rounded."""
        run = self.device_context.config.run
        if not run.reproducible:
            return fresh_key()
        whose = (str(user) for user in collected.population.sampling_keys)
        return key(run.seed, "rounding", request.query, request.round, *whose)

    def _own_noise(self, store: EventStore, request: Request, collected: LoadedPopulation) -> LocalNoise | None:
        """The noise of this round, as it was charged, where the device adds all noise itself; else None."""
        config = self.device_context.config
        if not self.device_context.handler.encoder(request.query).adds_own_noise:
            return None
        cost = local_noise(store, config, self.device_context.agreement)
        return local_noise_of(config, request.round, cost, collected.population)


def _nobody() -> LoadedPopulation:
    from fedrec.client.load_population import LoadedPopulation

    return LoadedPopulation(UserBatch(Histories.of([]), keys=keys_of([])), 0)


def device_of(run_config: Mapping[str, Any], node_config: Mapping[str, Any]) -> Device:
    """The device that a node's own config describes, see `DeviceFiles`; settings come out of the manifest.

    A run's config is the server's word: a device of a person uses none of it.  Only a node that says itself that it is
    simulated, and has no manifest of its own, takes from it settings (see `config_of`), ``catalogue``,
    ``roster`` and ``stores``, a directory with a store for each ``partition-id``; a key of its own goes before.  With
    ``slices`` above 0 each of these stores is a slice of the simulated population, see `DeviceContext`.

    Raises:
        ConfigError: the node lacks a file of its own, or a ``config`` of its own is not the manifest's; settings
            protect nobody, and this is no simulation.
        ProtocolError: the manifest is not to be believed, see `accepted_manifest`.
        StoreError: the store cannot be read.
    """
    if is_simulated(node_config) and not node_config.get("manifest"):
        return _simulated({**run_config, **{name: value for name, value in node_config.items() if value != ""}})
    files = DeviceFiles.of(node_config)
    with EventStore.open(files.store) as store:
        manifest = accepted_manifest(store, files.manifest)
    refuse_reproducible(manifest.config, simulated=is_simulated(node_config))
    device_context = _context_of(manifest.to_bytes(), files.catalogue)
    _check_own_config(device_context, manifest, str(node_config.get("config", "")))
    return Device(device_context, files.store, files.roster)


def _check_own_config(device_context: DeviceContext, manifest: RunManifest, text: str) -> None:
    """Raise ConfigError where a device has settings of its own, and they are not the manifest's."""
    if not text:
        return
    own = settled_for_devices(from_run_config(text, _APP), device_context.features, manifest.users)
    if own != manifest.config:
        differ = [name for name in type(own).model_fields if getattr(own, name) != getattr(manifest.config, name)]
        raise ConfigError(
            "this device's own config is not what the manifest says",
            value=differ,
            action="Leave config out, or take part only in runs that the publisher signs with these settings",
        )


def _simulated(chosen: Mapping[str, Any]) -> Device:
    catalogue = str(chosen.get("catalogue", ""))
    if not catalogue:
        raise ConfigError("a device needs to know its catalogue", action="Set catalogue to a directory of features")
    roster = Path(str(chosen["roster"])) if chosen.get("roster") else None
    said = tuple((key, str(chosen.get(key, ""))) for key in ("config", "set", *OWN_KEYS))
    known = _simulated_context(said, catalogue, sliced=int(chosen.get("slices", 0)) > 0)
    return Device(known, _store(chosen), roster, current())


def _store(chosen: Mapping[str, Any]) -> Path:
    if chosen.get("store"):
        return Path(str(chosen["store"]))
    if chosen.get("stores") and "partition-id" in chosen:
        return Path(str(chosen["stores"])) / f"{int(chosen['partition-id']):05d}.sqlite"
    raise ConfigError("a device needs a store", action="Set store in the node's config to the path of its event store")


# Reading a catalogue takes longer than most answers, and a simulated node is a call in a process that has had others.
@lru_cache(maxsize=2)
def _simulated_context(said: tuple[tuple[str, str], ...], catalogue: str, *, sliced: bool = False) -> DeviceContext:
    # A device is always reached by messages, whatever engine the settings were written for.
    config = with_protocol(with_preset(config_of(dict(said), _APP)), "flower")
    return DeviceContext(config, Path(catalogue), sliced=sliced)


@lru_cache(maxsize=2)
def _context_of(manifest: bytes, catalogue: Path) -> DeviceContext:
    read = RunManifest.from_bytes(manifest)
    return DeviceContext(read.config, catalogue, read)
