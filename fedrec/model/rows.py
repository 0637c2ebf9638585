"""Rows, the only thing that training code sees: one row is one privacy unit, with padding and masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedrec.errors import ModelError
from fedrec.model.item_table import Gathered, InTable

_PARTS = ("history", "notes", "photos", "candidates")


@dataclass(frozen=True, eq=False)
class ItemBatch:
    """Some items of each row: their features by modality.

    ``values``: modality to features [rows, items, ...]: float [.., width] for a head, integer tokens [.., length]
    (0 = padding), pixels [.., 3, side, side] (uint8, or float).  ``present``: modality to bool [rows, items]; where it
    is False the features are never read.  ``mask``: bool [rows, items], False = padding.  ``origin``: where the items
    are from, if all are places in one table; ``values`` and ``present`` are then gathered when they are asked for.
    """

    values: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    mask: Tensor
    origin: InTable | None = None

    def __post_init__(self) -> None:
        if self.origin is not None and not all(isinstance(part, Gathered) for part in (self.values, self.present)):
            raise ModelError(
                "a batch with features of its own is said to be from a table", action="Change a batch that is dense()"
            )

    @classmethod
    def of_table(cls, origin: InTable, mask: Tensor) -> ItemBatch:
        """The items of a table at some places. ``mask``: bool [rows, items], False = padding."""
        table, places = origin.table, origin.places
        return cls(Gathered(table.values, places), Gathered(table.present, places), mask, origin)

    @property
    def rows(self) -> int:
        return int(self.mask.shape[0])

    @property
    def items(self) -> int:
        return int(self.mask.shape[1])

    def select(self, rows: slice) -> ItemBatch:
        """The same items of some rows only, as views."""
        if self.origin is not None:
            return ItemBatch.of_table(self.origin.select(rows), self.mask[rows])
        return ItemBatch(
            {name: value[rows] for name, value in self.values.items()},
            {name: value[rows] for name, value in self.present.items()},
            self.mask[rows],
        )

    def dense(self) -> ItemBatch:
        """The same with all features gathered, which Opacus' hooks need."""
        return self if self.origin is None else ItemBatch(dict(self.values), dict(self.present), self.mask)

    def kinds(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Modality to the type and shape of its features, without gathering them."""
        if self.origin is None:
            return {name: (value.dtype, tuple(value.shape)) for name, value in self.values.items()}
        shape = tuple(self.mask.shape)
        return {name: (value.dtype, (*shape, *value.shape[1:])) for name, value in self.origin.table.values.items()}

    def to(self, dtype: torch.dtype) -> ItemBatch:
        """Convert floating features; tokens, uint8 pixels and masks stay as they are."""
        return ItemBatch({name: _to(value, dtype) for name, value in self.values.items()}, self.present, self.mask)


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch of privacy units.

    ``history``: what each user interacted with.  ``notes`` (modality ``text`` only) and ``photos`` (``image`` only):
    what a user wrote and photographed, or None.  ``candidates``: the first ``positives`` of them are positives, the
    rest is the pool of negatives.  ``candidate_mask``: bool [rows, candidates], False = padding, or a negative that
    the user has in training.  ``targets``: float [rows, candidates] in [0, 1] for rating prediction (not finite =
    unknown, left out), or None: 1 for positives, 0 for negatives.  ``log_inclusion``: float [rows, candidates], the
    logarithm of each candidate's chance to be one, which the softmax takes off its logit; None = it does not.
    ``context``: float [rows, 4], times of day (`fedrec.model.clock`) of the positives and of the history, or None.
    """

    history: ItemBatch
    notes: ItemBatch | None
    photos: ItemBatch | None
    candidates: ItemBatch
    positives: int
    candidate_mask: Tensor
    targets: Tensor | None = None
    log_inclusion: Tensor | None = None
    context: Tensor | None = None

    @property
    def rows(self) -> int:
        return int(self.candidate_mask.shape[0])

    def select(self, rows: slice) -> Rows:
        """Some rows only, as views. ``select(slice(i, i + 1))`` is the batch of row i alone."""
        return Rows(
            history=self.history.select(rows),
            notes=None if self.notes is None else self.notes.select(rows),
            photos=None if self.photos is None else self.photos.select(rows),
            candidates=self.candidates.select(rows),
            positives=self.positives,
            candidate_mask=self.candidate_mask[rows],
            targets=None if self.targets is None else self.targets[rows],
            log_inclusion=None if self.log_inclusion is None else self.log_inclusion[rows],
            context=None if self.context is None else self.context[rows],
        )

    def dense(self) -> Rows:
        """The same with all features gathered."""
        return replace(self, history=self.history.dense(), candidates=self.candidates.dense())

    def to(self, dtype: torch.dtype) -> Rows:
        """Convert every floating tensor."""
        return Rows(
            history=self.history.to(dtype),
            notes=None if self.notes is None else self.notes.to(dtype),
            photos=None if self.photos is None else self.photos.to(dtype),
            candidates=self.candidates.to(dtype),
            positives=self.positives,
            candidate_mask=self.candidate_mask,
            targets=None if self.targets is None else _to(self.targets, dtype),
            log_inclusion=None if self.log_inclusion is None else _to(self.log_inclusion, dtype),
            context=None if self.context is None else _to(self.context, dtype),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, each with rows first: what ``torch.func.vmap`` can map over."""
        found: dict[str, Tensor] = {"candidate_mask": self.candidate_mask}
        for name in ("targets", "log_inclusion", "context"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        for part in _PARTS:
            batch: ItemBatch | None = getattr(self, part)
            if batch is None:
                continue
            found[f"{part}.mask"] = batch.mask
            found |= {f"{part}.values.{name}": value for name, value in batch.values.items()}
            found |= {f"{part}.present.{name}": value for name, value in batch.present.items()}
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], positives: int) -> Rows:
        """The inverse of `tensors`."""
        parts = {part: _part(tensors, part) for part in _PARTS}
        history, candidates = parts["history"], parts["candidates"]
        if history is None or candidates is None:
            raise ModelError("rows need a history and candidates", value=sorted(tensors), action="Give both parts")
        return cls(
            history=history,
            notes=parts["notes"],
            photos=parts["photos"],
            candidates=candidates,
            positives=positives,
            candidate_mask=tensors["candidate_mask"],
            targets=tensors.get("targets"),
            log_inclusion=tensors.get("log_inclusion"),
            context=tensors.get("context"),
        )

    @classmethod
    def from_row(cls, tensors: Mapping[str, Tensor], positives: int) -> Rows:
        """A batch of one row from tensors that lack the row dimension: the inside of a ``vmap`` over `tensors`."""
        return cls.from_tensors({name: value.unsqueeze(0) for name, value in tensors.items()}, positives)


def _part(tensors: Mapping[str, Tensor], part: str) -> ItemBatch | None:
    if f"{part}.mask" not in tensors:
        return None

    def under(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    return ItemBatch(under(f"{part}.values."), under(f"{part}.present."), tensors[f"{part}.mask"])


def _to(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value
