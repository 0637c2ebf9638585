"""What a user's own notes, or photos, say of every item, without a tower and before anything was used.

A note is likened to the items' texts, a photo to their pictures, in the space of the encoder that made both.
Directions count by how much the catalogue varies along them (the items' second moment C): a word or a colour in which
many items differ says more about taste than one that tells a single item apart, and encoders that even directions out,
as LSA does, are undone.  With q the sum of a user's pieces at unit length and v_i an item at unit length around the
catalogue's mean,

    likeness_i = q C v_i / sqrt(v_i C v_i)

Where items are known to be used together, the likeness z over the catalogue is also read as a history that the user
would have had, sum over j of z_j history[j] . candidate[i]: who writes of darkwave likes what is used with what is like
darkwave.  Both standardised and in equal parts.  All of it is made on the device and stays there.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.errors import ModelError
from fedrec.ranking.standardise import standardised
from fedrec.release.contents import FeatureTable
from fedrec.users import OwnContent

Floats32 = NDArray[np.float32]


class OwnTaste:
    """Scores a catalogue by one modality of what users made themselves. Items are prepared once, when first needed.

    Args:
        values: float32 [items, width], the catalogue's features of that modality.
        present: bool [items], which items have it.
        collaborative: what is used together, or None.
    """

    def __init__(
        self, values: NDArray[np.generic], present: NDArray[np.bool_], collaborative: CollaborativeFactors | None
    ) -> None:
        self._values, self._present = values, present
        self._collaborative = _told(collaborative)
        self._prepared = _Prepared(values, present)

    @classmethod
    def of(cls, features: FeatureTable, modality: str, collaborative: CollaborativeFactors | None) -> OwnTaste | None:
        """The scorer of a modality; None where the catalogue lacks it, or has token ids or pixels of it, which are no
        vectors to liken."""
        values = features.values.get(modality)
        if values is None or values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
            return None
        return cls(values, features.present[modality], collaborative)

    def beside(self, collaborative: CollaborativeFactors | None) -> OwnTaste:
        """The same items, prepared once for both, beside what other factors say is used together."""
        other = copy.copy(self)
        other._collaborative = _told(collaborative)
        return other

    def scores(self, own: OwnContent) -> Floats32:
        """Standardised scores float32 [users, items]; all 0 for a user without a piece.

        Raises:
            ModelError: pieces of another width than the catalogue's features.
        """
        if own.values.shape[1:] != self._values.shape[1:]:
            raise ModelError(
                f"own content must be features of width {self._values.shape[1]}",
                value=own.values.shape,
                action="Encode it with the encoder of this release",
            )
        likeness = standardised(_sums(own) @ self._prepared.items)
        if self._collaborative is None:
            return likeness
        table = self._collaborative
        together = np.asarray((likeness @ table.history) @ table.candidate.T, dtype=np.float32)
        return standardised(likeness + standardised(together))


def _told(collaborative: CollaborativeFactors | None) -> CollaborativeFactors | None:
    return None if collaborative is None or collaborative.rank == 0 else collaborative


@dataclass(eq=False)
class _Prepared:
    """A catalogue's items, ready to be likened to what users made: when first needed, and once."""

    values: NDArray[np.generic]
    present: NDArray[np.bool_]

    @cached_property
    def items(self) -> Floats32:
        """C v_i / sqrt(v_i C v_i): float32 [width, items]; zeros for items without the modality."""
        values = _unit(np.where(self.present[:, None], self.values, 0).astype(np.float64))
        if self.present.any():
            values = np.where(self.present[:, None], values - values[self.present].mean(axis=0), 0.0)
        values = _unit(values)
        turned = values @ (values.T @ values / max(len(values), 1))
        length = np.sqrt(np.maximum(np.einsum("iw,iw->i", turned, values), 0.0))
        return np.asarray((turned / np.where(length > 1e-12, length, np.inf)[:, None]).T, dtype=np.float32)


def _sums(own: OwnContent) -> Floats32:
    """The sum of each user's pieces at unit length: float32 [users, width]."""
    found = np.zeros((len(own), own.values.shape[1]), dtype=np.float64)
    np.add.at(found, np.repeat(np.arange(len(own)), np.diff(own.indptr)), _unit(own.values.astype(np.float64)))
    return _unit(found).astype(np.float32)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 1e-12, length, 1.0))
