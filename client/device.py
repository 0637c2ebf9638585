"""A device: its own store, and what it knows of the catalogue and the run; it turns a question into a share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from client.agreement import check_agreed, claim
from client.collect import Collected, Reading, collect
from client.respond import Respondent
from fedrec.aggregation.question import Question
from fedrec.aggregation.wire import Envelope
from fedrec.config import Config, from_run_config
from fedrec.content.features import load_features
from fedrec.errors import ConfigError, ProtocolError
from fedrec.events.store import EventStore
from fedrec.model.presets import with_preset

_log = logging.getLogger(__name__)
_APP: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What is the same for all devices of a process: the settings it accepted, and the catalogue. Nobody's data.

    ``catalogue``: digest of its features.  ``index``: item id -> place.
    """

    config: Config
    catalogue: str
    index: Mapping[str, int]
    respondent: Respondent
    notes: Reading | None
    photos: Reading | None


class Device:
    """One device.

    Args:
        knowledge: of the process.
        store: path of its event store; opened for each question, so that a device that is cut off holds nothing open.
    """

    def __init__(self, knowledge: Knowledge, store: Path) -> None:
        self.knowledge = knowledge
        self.store = store

    def answer(self, asked: Envelope, run: str) -> bytes:
        """The encoded contribution of this device's users to a sum; of a device without any, zeros.

        Args:
            asked: the question.
            run: identifies the run; each question of it is answered once.

        Raises:
            ProtocolError: the question is none that this device agreed to, or was answered before.
            StoreError: the store is missing or damaged.
            SumError: the contribution is not within the agreed bound, which is a defect.
        """
        known, question = self.knowledge, asked.question
        if asked.catalogue != known.catalogue:
            raise ProtocolError(
                "the question is about another catalogue than this device has",
                value=asked.catalogue,
                action="Give the device the run's catalogue",
            )
        check_agreed(known.config, question, len(known.index))
        with EventStore.open(self.store) as store:
            claim(store, run, asked.session, question)
            collected = collect(store, known.index, notes=known.notes, photos=known.photos)
        if collected.unknown:
            _log.info("%d events are about items that the catalogue does not know", collected.unknown)
        return self._share(question, collected)

    def _share(self, question: Question, collected: Collected) -> bytes:
        population = collected.population
        if not len(population):
            return question.sum.encode(np.zeros(question.sum.length))
        vector = self.knowledge.respondent.answer(question, population)
        return question.sum.encode(vector, self.knowledge.respondent.rows(question, population))


def device_of(run_config: Mapping[str, Any], node_config: Mapping[str, Any]) -> Device:
    """The device that Flower's settings describe.

    A key of ``node_config``, which is the device's own, goes before the same key of ``run_config``: ``config`` (see
    `from_run_config`), ``catalogue`` (directory made by `save_features`), and either ``store`` (a path) or, in
    simulations, ``stores`` (a directory) with ``partition-id``.

    Raises:
        ConfigError: a key is missing. ContentError: the catalogue cannot be read.
    """
    chosen = {**run_config, **{name: value for name, value in node_config.items() if value != ""}}
    catalogue = str(chosen.get("catalogue", ""))
    if not catalogue:
        raise ConfigError("a device needs to know its catalogue", action="Set catalogue to a directory of features")
    return Device(_knowledge(str(chosen.get("config", "")), catalogue), _store(chosen))


def _store(chosen: Mapping[str, Any]) -> Path:
    if chosen.get("store"):
        return Path(str(chosen["store"]))
    if chosen.get("stores") and "partition-id" in chosen:
        return Path(str(chosen["stores"])) / f"{int(chosen['partition-id']):05d}.sqlite"
    raise ConfigError("a device needs a store", action="Set store in the node's config to the path of its event store")


# Reading a catalogue takes longer than most answers, and a simulated node is a call in a process that has had others.
@lru_cache(maxsize=2)
def _knowledge(config_text: str, catalogue: str) -> Knowledge:
    config = with_preset(from_run_config(config_text, _APP))
    features, encoders = load_features(Path(catalogue))
    return Knowledge(
        config=config,
        catalogue=features.digest(),
        index=features.index,
        respondent=Respondent(config, features),
        notes=Reading.by(encoders.get("text")) if config.model.notes else None,
        photos=Reading.by(encoders.get("image")) if config.model.photos else None,
    )
