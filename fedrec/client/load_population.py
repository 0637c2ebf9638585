"""From a device's store to what training code may see: places of items, and encoded private pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.content.bundle import pack, unpack
from fedrec.content.registry import AnyEncoder
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import ContentError
from fedrec.model.clock import UNKNOWN
from fedrec.training.own_content import encode_own
from fedrec.training.population import Pieces, Population, keys_of


@dataclass(frozen=True, eq=False)
class LoadedPopulation:
    """All users of a device as a population. ``unknown``: events left out because the catalogue lacks their item."""

    population: Population
    unknown: int


@dataclass(frozen=True, eq=False)
class Reading:
    """What reads private pieces: an encoder, and the digest of its fitted state."""

    encoder: AnyEncoder
    digest: str

    @classmethod
    def by(cls, encoder: AnyEncoder | None) -> Reading | None:
        """A reading by an encoder; None where there is none."""
        return None if encoder is None else cls(encoder, encoder.digest())


def load_population(
    store: EventStore,
    index: Mapping[str, int],
    *,
    notes: Reading | None = None,
    photos: Reading | None = None,
    times: bool = False,
) -> LoadedPopulation:
    """Read a store against a catalogue.

    Args:
        store: the device's.
        index: item id -> place in the catalogue.
        notes: what reads notes, None where the model does not.
        photos: what reads photos, likewise.
        times: whether the model reads when events were.

    An item that was met twice counts once, when it was first met; one that is held out is in no training event.
    Encoded notes and photos are kept in the store, so that each is encoded once.

    Raises:
        StoreError: the store cannot be read.
    """
    users = store.users()
    histories: list[list[int]] = []
    held_out: list[int] = []
    met_at: list[int] = []
    unknown = 0
    for user in users:
        valid, test = store.held_out(user)
        events = [event for event in store.events(user) if event.item not in (valid, test)]
        first = first_met(events, index)
        met = [event.item for event in events]
        histories.append(list(first))
        met_at += first.values()
        held_out.append(-1 if valid is None else index.get(valid, -1))
        unknown += sum(item not in index for item in met)
    population = Population(
        keys=keys_of(users),
        indptr=np.cumsum([0, *map(len, histories)], dtype=np.int64),
        items=np.array([place for places in histories for place in places], dtype=np.int32),
        held_out=np.array(held_out, dtype=np.int32),
        notes=_pieces(store, users, "notes", notes, lambda user: [note.text for note in store.notes(user)]),
        times=np.array(met_at, dtype=np.int64) if times else None,
        photos=_pieces(store, users, "photos", photos, lambda user: [photo.data for photo in store.photos(user)]),
    )
    return LoadedPopulation(population, unknown)


def first_met(events: Sequence[Event], index: Mapping[str, int]) -> dict[int, int]:
    """Place of each known item to when it was first met (seconds since 1970, `UNKNOWN` where nobody says), in order."""
    found: dict[int, int] = {}
    for event in events:
        if event.item in index:
            found.setdefault(index[event.item], UNKNOWN if event.timestamp is None else event.timestamp)
    return found


def _pieces(
    store: EventStore,
    users: Sequence[str],
    kind: str,
    reading: Reading | None,
    read: Callable[[str], Sequence[str | bytes]],
) -> Pieces | None:
    if reading is None:
        return None
    owned = [_encoded(store, user, f"encoded {kind}", reading, read(user)) for user in users]
    indptr = np.cumsum([0, *map(len, owned)], dtype=np.int64)
    return Pieces(indptr, np.concatenate([reading.encoder.empty(0).values, *owned]))


def _encoded(store: EventStore, user: str, name: str, reading: Reading, pieces: Sequence[str | bytes]) -> NDArray[Any]:
    """A user's encoded pieces [pieces, ...]: those kept in the store, as long as encoder and pieces are the same."""
    source = {"encoder": reading.digest, "pieces": _digest(pieces)}
    kept = store.get_state(user, name)
    if kept is not None:
        try:
            arrays, meta = unpack(kept)
            if meta == source:
                return arrays["values"]
        except (ContentError, KeyError):
            pass  # only a copy was damaged
    values = np.asarray(encode_own(reading.encoder, [pieces]).values)
    store.set_state(user, name, pack({"values": values}, source))
    return values


def _digest(pieces: Sequence[str | bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        raw = piece.encode() if isinstance(piece, str) else piece
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()
