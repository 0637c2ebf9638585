"""A device: its own store, and what it knows of the catalogue and the run; it turns a request into a share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.client.budget import (
    AnswerCost,
    Population,
    agreement_key,
    agreement_of,
    answer_cost,
    local_noise,
    population_said,
)
from fedrec.client.request_policy import check_agreed, claim
from fedrec.client.trust import roster_of
from fedrec.config import Config, from_run_config, with_protocol
from fedrec.config.presets import with_preset
from fedrec.config.simulated import is_simulated, refuse_reproducible
from fedrec.content.feature_table import Features, load_table
from fedrec.content.fit import fit_to_content
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries.device.bounded import bounded
from fedrec.queries.request import Request
from fedrec.queries.wire import Envelope
from fedrec.randomness import fresh_key, key
from fedrec.training.local_noise import LocalNoise, local_noise_of
from fedrec.users import Histories, UserBatch, keys_of

if TYPE_CHECKING:
    from fedrec.client.load_population import LoadedPopulation
    from fedrec.client.query_handler import QueryHandler
    from fedrec.content.own_content import StoredContentEncoder

_log = logging.getLogger(__name__)
_APP: Final = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, eq=False)
class DeviceContext:
    """What is the same for all devices of a process: the settings it accepted, and the catalogue. Nobody's data.

    Each part is read when it is first needed, and so is the code for it: Flower starts a process for every message to
    a device, and of the four in a secure sum only one needs a model.

    Args:
        accepted: the settings, as the device's owner accepted them.
        directory: the catalogue's, made by `save_features`.

    The properties raise ContentError where the catalogue cannot be read.
    """

    accepted: Config
    directory: Path

    @cached_property
    def config(self) -> Config:
        """The settings without what the catalogue has nothing of, as the server of a run over it has them.

        Raises:
            ConfigError: the settings cannot be fitted to the catalogue.
        """
        config, left_out = fit_to_content(self.accepted, self.features)
        for sentence in left_out:
            _log.info("settings fitted to the content: %s", sentence)
        return config

    @cached_property
    def features(self) -> Features:
        """Of the catalogue's items."""
        return load_table(self.directory)

    @cached_property
    def catalogue(self) -> str:
        """The digest of its features."""
        return self.features.digest()

    @property
    def index(self) -> Mapping[str, int]:
        """Item id -> place."""
        return self.features.index

    @cached_property
    def handler(self) -> QueryHandler:
        """What answers requests."""
        from fedrec.client.query_handler import QueryHandler

        return QueryHandler(self.config, self.features)

    @cached_property
    def own_encoders(self) -> tuple[StoredContentEncoder | None, StoredContentEncoder | None]:
        """What encodes notes, and what encodes photos; None where the model does not read them."""
        notes, photos = self.config.model.notes, self.config.model.photos
        if not (notes or photos):
            return None, None
        from fedrec.content.features import load_features
        from fedrec.content.own_content import StoredContentEncoder

        encoders = load_features(self.directory)[1]
        return (
            StoredContentEncoder.of(encoders.get("text")) if notes else None,
            StoredContentEncoder.of(encoders.get("image")) if photos else None,
        )

    def check_catalogue(self, digest: str) -> None:
        """Raise ProtocolError where a request is about another catalogue than the device's."""
        if digest != self.catalogue:
            raise ProtocolError(
                "the request is about another catalogue than this device has",
                value=digest,
                action="Give the device the run's catalogue",
            )


class Device:
    """One device.

    Args:
        device_context: of the process.
        store: path of its event store; opened for each request, so that a device that is cut off holds nothing open.
        roster: a file with the signed roster, for secure aggregation.
    """

    def __init__(self, device_context: DeviceContext, store: Path, roster: Path | None = None) -> None:
        self.device_context = device_context
        self.store = store
        self.roster = roster

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
        with EventStore.open(self.store) as store:
            cost = self.cost(store, request)
            with store.transaction(durable=True):
                claim(store, run, asked.session, request)
                cost.charge(store, run)
            vector, rows, key = self._told(store, request)
        return request.sum.encode(vector, rows, key=key)

    def cost(self, store: EventStore, request: Request) -> AnswerCost:
        """What an answer costs this device, reckoned but not taken down.

        How many devices there are is in the signed roster; a device without one takes the server's word.

        Raises:
            PrivacyError: the settings cannot be accounted, or the ledger is damaged.
            ConfigError, ProtocolError: the roster is not to be believed.
        """
        known, population = self.device_context, population_said(request)
        if self.roster is not None:
            devices = len(roster_of(store, self.roster).devices)
            population = Population(max(2, devices), devices)
        return answer_cost(
            store, known.config, agreement_of(known.config, known.catalogue, population), request, population
        )

    def elements(self, store: EventStore, request: Request) -> NDArray[np.uint64]:
        """The contribution as ring elements, which must not leave the device unmasked; uint64 [request.sum.length].

        Raises as `answer` does, but does not look at what was agreed or answered: the caller has.
        """
        vector, rows, key = self._told(store, request)
        return request.sum.elements(vector, rows, key=key)

    def _told(self, store: EventStore, request: Request) -> tuple[NDArray[np.float64], int, bytes]:
        """The vector within the sum's bound, of how many rows it is, and the key of its rounding.

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
        return np.zeros(request.sum.length), 1, self._key(request, _nobody())

    def _of(
        self, store: EventStore, request: Request, collected: LoadedPopulation
    ) -> tuple[NDArray[np.float64], int, bytes]:
        own = self._own_noise(store, request, collected)
        vector, rows = self._contribution(request, collected, own)
        if rows > request.sum.rows:
            raise ProtocolError("this device holds more rows than the sum has room for", value=rows)
        return bounded(request.sum, vector, rows), rows, self._key(request, collected)

    def _collected(self, store: EventStore) -> LoadedPopulation:
        from fedrec.client.load_population import load_population

        notes, photos = self.device_context.own_encoders
        collected = load_population(
            store, self.device_context.index, notes=notes, photos=photos, times=self.device_context.config.model.context
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
        cost = local_noise(store, config, agreement_key(config, self.device_context.catalogue))
        return local_noise_of(config, request.round, cost, collected.population)

    def _contribution(
        self, request: Request, collected: LoadedPopulation, own: LocalNoise | None
    ) -> tuple[NDArray[np.float64], int]:
        """The vector, and of how many rows it is."""
        population = collected.population
        if not len(population) and own is None:
            return np.zeros(request.sum.length), 1
        handler = self.device_context.handler
        rows = handler.rows(request, population)
        return handler.answer(request, population, own), rows


def _nobody() -> LoadedPopulation:
    from fedrec.client.load_population import LoadedPopulation

    return LoadedPopulation(UserBatch(Histories.of([]), keys=keys_of([])), 0)


def device_of(run_config: Mapping[str, Any], node_config: Mapping[str, Any]) -> Device:
    """The device that Flower's settings describe.

    A key of ``node_config``, which is the device's own, goes before the same key of ``run_config``: ``config`` (see
    `from_run_config`), ``catalogue`` (directory made by `save_features`), and either ``store`` (a path) or, in
    simulations, ``stores`` (a directory) with ``partition-id``.  ``roster``: a file, for secure aggregation; the key
    that it must be signed with is in the store.  ``simulation``, in ``node_config`` only: true on a simulated device.

    Raises:
        ConfigError: a key is missing, or the settings protect nobody and this is no simulation.
    """
    chosen = {**run_config, **{name: value for name, value in node_config.items() if value != ""}}
    catalogue = str(chosen.get("catalogue", ""))
    if not catalogue:
        raise ConfigError("a device needs to know its catalogue", action="Set catalogue to a directory of features")
    roster = Path(str(chosen["roster"])) if chosen.get("roster") else None
    device_context = _knowledge(str(chosen.get("config", "")), catalogue)
    refuse_reproducible(device_context.accepted, simulated=is_simulated(node_config))
    return Device(device_context, _store(chosen), roster)


def _store(chosen: Mapping[str, Any]) -> Path:
    if chosen.get("store"):
        return Path(str(chosen["store"]))
    if chosen.get("stores") and "partition-id" in chosen:
        return Path(str(chosen["stores"])) / f"{int(chosen['partition-id']):05d}.sqlite"
    raise ConfigError("a device needs a store", action="Set store in the node's config to the path of its event store")


# Reading a catalogue takes longer than most answers, and a simulated node is a call in a process that has had others.
@lru_cache(maxsize=2)
def _knowledge(config_text: str, catalogue: str) -> DeviceContext:
    # A device is always reached by messages, whatever engine the settings were written for.
    config = with_protocol(with_preset(from_run_config(config_text, _APP)), "flower")
    return DeviceContext(config, Path(catalogue))
