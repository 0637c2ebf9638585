"""A user's own notes and photos as features, by the encoders that the catalogue's texts and pictures went through."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.content.bundle import pack, unpack
from fedrec.content.encoder import Encoder
from fedrec.data.store import EventStore
from fedrec.errors import ContentError
from fedrec.users import OwnContent, pointers_of


def encode_own(encoder: Encoder[Any], owned: Sequence[Sequence[Any]]) -> OwnContent:
    """Encode what each user owns: texts for a text encoder, files or their bytes for an image encoder.

    A piece that cannot be read (an empty photo, a note without a known word) is left out; it spoils nothing else.
    """
    encoded = encoder.encode([piece for pieces in owned for piece in pieces])
    owners = np.repeat(np.arange(len(owned)), [len(pieces) for pieces in owned])[encoded.present]
    counts = np.bincount(owners, minlength=len(owned))
    return OwnContent(pointers_of(counts), encoded.values[encoded.present])


@dataclass(frozen=True, eq=False)
class StoredContentEncoder:
    """Encodes what a device's store holds, each piece once: the store keeps the features, which never leave it.

    ``digest``: of the encoder's fitted state; features of another one are made again.
    """

    encoder: Encoder[Any]
    digest: str

    @classmethod
    def of(cls, encoder: Encoder[Any] | None) -> StoredContentEncoder | None:
        """Wrap an encoder; None where there is none."""
        return None if encoder is None else cls(encoder, encoder.digest())

    def encode(
        self, store: EventStore, users: Sequence[str], kind: str, read: Callable[[str], Sequence[str | bytes]]
    ) -> OwnContent:
        """Encode the pieces that ``read`` gives of each user, kept in the store as ``encoded <kind>``.

        Raises:
            StoreError: the store cannot be read or written.
        """
        owned = [self._of_user(store, user, f"encoded {kind}", read(user)) for user in users]
        indptr = pointers_of([len(one) for one in owned])
        return OwnContent(indptr, np.concatenate([self.encoder.empty(0).values, *owned]))

    def _of_user(self, store: EventStore, user: str, name: str, pieces: Sequence[str | bytes]) -> NDArray[Any]:
        """A user's encoded pieces [pieces, ...]: those kept in the store, while encoder and pieces are the same."""
        source = {"encoder": self.digest, "pieces": _digest(pieces)}
        kept = store.get_state(user, name)
        if kept is not None:
            try:
                arrays, meta = unpack(kept)
                if meta == source:
                    return arrays["values"]
            except (ContentError, KeyError):
                pass  # only a copy was damaged
        values = np.asarray(encode_own(self.encoder, [pieces]).values)
        store.set_state(user, name, pack({"values": values}, source))
        return values


def _digest(pieces: Sequence[str | bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        raw = piece.encode() if isinstance(piece, str) else piece
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()
