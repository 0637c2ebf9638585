"""A data set made ready for a run: features, the users' training events as a population, and what is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.content.encode_catalogue import encode_catalogue, read_and_say
from fedrec.content.feature_table import Features
from fedrec.content.left_out import left_out, say_unreadable
from fedrec.content.own_content import encode_own
from fedrec.content.registry import AnyEncoder
from fedrec.data.membership import first_places
from fedrec.data.schema import Dataset
from fedrec.data.splits import Split, split
from fedrec.errors import DataError
from fedrec.model.clock import UNKNOWN
from fedrec.ranking.context import context_of
from fedrec.ranking.protocols import HeldOut
from fedrec.simulation.cold import without_cold
from fedrec.users import Histories, OwnContent, RatedItems, UserBatch, keys_of, pointers_of

if TYPE_CHECKING:
    from fedrec.data.sources import Source


@dataclass(frozen=True, eq=False)
class Study:
    """What a simulation holds in memory, and no device or server ever does.

    ``population``: what training sees.  ``known``: what a device ranks with when it is measured: its training items,
    while testing also the validation item, which lies before the test item.  ``held_out``: what is to be found.
    ``unreadable``: how many notes and photos say nothing to their encoder.  ``cold``: the items that each user really
    used of those that were kept out of training, None where none were.
    """

    dataset: Dataset
    split: Split
    features: Features
    encoders: Mapping[str, AnyEncoder]
    population: UserBatch
    known: UserBatch
    held_out: HeldOut
    unreadable: Mapping[str, int] = field(default_factory=dict)
    cold: Histories | None = None

    def facts(self) -> dict[str, Any]:
        """The section ``data`` of run.json: what there is, and what was left out."""
        return {
            "name": self.dataset.name,
            "users": len(self.dataset.users),
            "items": len(self.dataset.items),
            "interactions": len(self.dataset.interactions),
            **left_out(self.dataset, self.features.warnings, self.unreadable),
        }

    def fingerprint(self) -> str:
        """SHA-256 in hex of all that devices hold: a run may be taken up again over the same study only."""
        found = hashlib.sha256(self.features.digest().encode())
        population = self.population
        histories = population.histories
        arrays: list[NDArray[Any]] = [population.sampling_keys, histories.indptr, histories.items, population.targets]
        arrays += [] if population.times is None else [population.times]
        rated = population.rated
        arrays += [] if rated is None else [rated.items.indptr, rated.items.items, rated.values]
        for pieces in (population.notes, population.photos):
            arrays += [] if pieces is None else [pieces.indptr, pieces.values]
        for array in arrays:
            found.update(f"{array.dtype.str} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def prepare(config: Config, data: Source, reporter: Reporter) -> Study:
    """Read data and build everything a run needs. What had to be left out is told to the reporter.

    Args:
        config: the settings, its preset's beneath.
        data: anything that `fedrec.data.sources.read_data` takes, such as a data directory or a `Dataset`.
        reporter: is told how far it is.

    Raises:
        DataError: the data cannot be read, is of one user, or has no positive event.
        ContentError: its content cannot be encoded as the config says.
    """
    dataset = read_and_say(data, reporter)
    if len(dataset.users) < 2:
        raise DataError(
            "a federation needs at least 2 users",
            path=dataset.directory or dataset.name,
            value=len(dataset.users),
            action="Use a larger data set",
        )
    features, encoders = encode_catalogue(config, dataset, reporter)
    study = assemble(config, dataset, features, encoders)
    if len(dataset.interactions) and config.data.positive_ratings != "all" and not len(study.split.rows):
        raise DataError(
            "no event that trains is rated as high as data.positive_ratings",
            path=dataset.directory or dataset.name,
            value=config.data.positive_ratings,
            action="Set it within the range of the ratings, see fedrec data inspect",
        )
    say_unreadable(study.unreadable, reporter)
    return study


def assemble(config: Config, dataset: Dataset, features: Features, encoders: Mapping[str, AnyEncoder]) -> Study:
    """A study from a data set whose catalogue is encoded."""
    rule = config.data.positive_ratings
    whole = split(dataset, config.run.seed, unit=config.privacy.unit, positive_ratings=rule)
    held, used = without_cold(config, whole, len(dataset.items), dataset.interactions.item)
    # Ranking by evidence reads them on the device; only a tower that reads them is trained with them.
    reads = config.collaborative.scoring.evidence
    notes = _own(config.model.notes or reads, encoders.get("text"), dataset.notes, len(dataset.users))
    photos = _own(config.model.photos or reads, encoders.get("image"), dataset.photos, len(dataset.users))
    times = dataset.interactions.timestamp[held.rows] if config.model.context else None
    population = UserBatch(
        held.training,
        keys=keys_of(dataset.users),
        held_out=held.valid,
        notes=notes if config.model.notes else None,
        photos=photos if config.model.photos else None,
        times=times,
        rated=_rated(dataset, held) if config.collaborative.ratings.used else None,
    )
    testing = config.evaluation.split == "test"
    target, other = (held.test, held.valid) if testing else (held.valid, held.test)
    if config.evaluation.users:
        target = np.where(np.arange(len(target)) < config.evaluation.users, target, -1).astype(np.int32)
    histories = _with_last(held.training, held.valid) if testing else held.training
    context = None if times is None else _context(dataset, histories, target, config.model.history)
    known = UserBatch(histories, notes=notes, photos=photos, context=context)
    held_out = HeldOut(_met(dataset, held), target, other, held.negatives)
    unreadable = {"notes": _lost(notes, dataset.notes), "photos": _lost(photos, dataset.photos)}
    return Study(dataset, held, features, encoders, population, known, held_out, unreadable, used)


def _met(dataset: Dataset, held: Split) -> Histories:
    """What is recommended to nobody again: training items, and what was rated too low to be one."""
    table = dataset.interactions
    either = np.zeros(len(table), dtype=np.bool_)
    either[held.rows] = either[held.rated] = True
    rows = np.flatnonzero(either)
    if len(rows) == len(held.rows):
        return held.training
    return Histories(pointers_of(np.bincount(table.user[rows], minlength=len(dataset.users))), table.item[rows])


def _rated(dataset: Dataset, held: Split) -> RatedItems:
    """What each user's device knows of ratings."""
    table, rows = dataset.interactions, held.rated
    counts = np.bincount(table.user[rows], minlength=len(dataset.users))
    return RatedItems(Histories(pointers_of(counts), table.item[rows]), table.rating[rows])


def _context(dataset: Dataset, histories: Histories, target: NDArray[np.int32], last: int) -> NDArray[np.float32]:
    """Times of day: a user asks when the item that is to be found was met, about which nothing else is told."""
    table, items = dataset.interactions, max(len(dataset.items), 1)
    pair = table.user.astype(np.int64) * items + table.item
    first = first_places(pair)
    first = first[np.argsort(pair[first])]
    pairs = pair[first]

    def met(users: NDArray[np.int64], places: NDArray[np.int32]) -> NDArray[np.int64]:
        wanted = users * items + places
        at = np.minimum(np.searchsorted(pairs, wanted), max(len(pairs) - 1, 0))
        known = (places >= 0) & (pairs[at] == wanted)
        return np.where(known, table.timestamp[first[at]], UNKNOWN)

    request = met(np.arange(len(target)), target)
    return context_of(request, histories.indptr, met(histories.owners, histories.items), last)


def _own(wanted: bool, encoder: AnyEncoder | None, owned: Mapping[int, Sequence[Any]], users: int) -> OwnContent | None:
    if not wanted or encoder is None:
        return None
    return encode_own(encoder, [owned.get(place, ()) for place in range(users)])


def _lost(pieces: OwnContent | None, owned: Mapping[int, Sequence[Any]]) -> int:
    return 0 if pieces is None else sum(map(len, owned.values())) - len(pieces.values)


def _with_last(histories: Histories, last: NDArray[np.int32]) -> Histories:
    """Each history with one more item at its end (-1 = none)."""
    having = last >= 0
    items = np.insert(histories.items, histories.indptr[1:][having], last[having])
    return Histories(histories.indptr + np.concatenate([[0], np.cumsum(having)]), items)
