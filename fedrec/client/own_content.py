"""What a person wrote and photographed, encoded as items are, on the person's device."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.users import OwnContent

_log = logging.getLogger(__name__)
_Row = NDArray[np.float32] | None


class OwnContentEncoder:
    """Encodes pieces of one's own with the encoders of a release.

    Args:
        encoders: gives modality to encoder, asked where there is a piece; what is of another modality cannot be used.
        keeps: how many encoded pieces are kept for the next time, so that one more note does not decode all photos
            again. 0: nothing is kept from one call to the next, as where one process serves many people.
    """

    def __init__(self, encoders: Callable[[], Mapping[str, Any]], keeps: int = 0) -> None:
        self._encoders, self._keeps = encoders, keeps
        self._kept: OrderedDict[tuple[str, bytes], _Row] = OrderedDict()

    def encode(self, modality: str, pieces: Sequence[str] | Sequence[bytes]) -> OwnContent | None:
        """The pieces that can be read, in their order; None where there is none."""
        encoder = self._encoders().get(modality) if pieces else None
        if encoder is None:
            return None
        names = [(modality, hashlib.sha256(_bytes(piece)).digest()) for piece in pieces]
        fresh = {name: piece for name, piece in zip(names, pieces, strict=True) if name not in self._kept}
        found = dict(self._kept)
        if fresh:
            encoded = encoder.encode(list(fresh.values()))
            if len(encoded.problems):
                _log.info("%d of %d pieces of %s cannot be read", len(encoded.problems), len(fresh), modality)
            rows = (encoded.values[place] if there else None for place, there in enumerate(encoded.present))
            found.update(zip(fresh, rows, strict=True))
        self._keep({name: found[name] for name in names})
        rows_found = [row for name in names if (row := found[name]) is not None]
        return OwnContent.of([np.stack(rows_found)]) if rows_found else None

    def forget(self) -> None:
        """Keep nothing of what was encoded so far."""
        self._kept.clear()

    def _keep(self, rows: Mapping[tuple[str, bytes], _Row]) -> None:
        if not self._keeps:
            return
        for name, row in rows.items():
            self._kept[name] = row
            self._kept.move_to_end(name)
        while len(self._kept) > self._keeps:
            self._kept.popitem(last=False)


def _bytes(piece: str | bytes) -> bytes:
    return piece.encode("utf-8", errors="surrogatepass") if isinstance(piece, str) else piece
