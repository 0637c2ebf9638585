"""What a release holds, as values: the catalogue with its features, the model, behaviour, and what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.errors import ReleaseError
from fedrec.release.requires import Requirement

if TYPE_CHECKING:
    from fedrec.config import ModelSettings

NamedArrays = Mapping[str, NDArray[Any]]


class FeatureTable(Protocol):
    """Features of a catalogue as `fedrec.content.features.Features` has them; named by its form, so that the server
    can write a release without importing what reads content."""

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def titles(self) -> tuple[str, ...]: ...
    @property
    def values(self) -> NamedArrays: ...
    @property
    def present(self) -> Mapping[str, NDArray[np.bool_]]: ...


@dataclass(frozen=True, eq=False)
class CatalogueItems:
    """The catalogue of a release. ``values``: modality -> [items, ...]; ``present``: modality -> bool [items]."""

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    values: NamedArrays
    present: Mapping[str, NDArray[np.bool_]]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """modality -> shape of one item's feature."""
        return {name: tuple(array.shape[1:]) for name, array in self.values.items()}


@dataclass(frozen=True, eq=False)
class ModelState:
    """The shared model, without a line of its code.

    Args:
        settings: what to build.
        shapes: modality -> shape of one item's feature, in the order of declaration.
        temperature: of the logits.
        parameters: name -> float32 array, in declared order.
        vocabulary: number of token ids, where text is token ids.
        offset: whether the model has a learned offset.
        auxiliary: whether it has learned to predict attributes.
        frozen: name -> float32 array, what is part of the model and was not trained.
        items: how many have a vector of their own, where it reads the modality ``id``.
    """

    settings: ModelSettings
    shapes: Mapping[str, tuple[int, ...]]
    temperature: float
    parameters: Mapping[str, NDArray[np.float32]]
    vocabulary: int = 4096
    offset: bool = False
    auxiliary: bool = False
    frozen: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    items: int = 0


@dataclass(frozen=True, eq=False)
class ReleaseContents:
    """All that goes into a release.

    Args:
        name: what the release is called, one line of at most 200 characters.
        items: the catalogue and its features.
        model: the shared model, or None where only behaviour ranks.
        collaborative: the collaborative factors, or None.
        encoders: modality -> saved encoder (`fedrec.content.registry.encoder_to_bytes`), with which a device encodes
            notes, photos and new items.
        config: the run's settings, JSON-able.
        privacy: the privacy statement, JSON-able.
        card: the model card, Markdown.
        requires: parts of other packages that using it takes.

    Raises:
        ReleaseError: parts that do not fit each other, or a number that is not finite.
    """

    name: str
    items: FeatureTable
    model: ModelState | None
    collaborative: CollaborativeFactors | None
    encoders: Mapping[str, bytes] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    privacy: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""
    requires: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_items(self.items)
        if self.collaborative is not None and self.collaborative.items != len(self.items.ids):
            raise _unfit(
                "the collaborative factors are about another number of items than the catalogue",
                self.collaborative.items,
            )
        if self.model is not None:
            _check_model(self.model, self.items)
        if not all(name.isidentifier() for name in (*self.items.values, *self.encoders)):
            raise _unfit("a modality is named by a word", sorted((*self.items.values, *self.encoders)))


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise _unfit("a release needs a name: one line of at most 200 characters", name)


def _check_items(items: FeatureTable) -> None:
    count = len(items.ids)
    if not count or len(items.titles) != count or len(set(items.ids)) != count:
        raise _unfit("a catalogue needs distinct ids, one at least, and a title for each", count)
    if set(items.values) != set(items.present):
        raise _unfit("features need a presence mask for each modality", sorted(items.values))
    for name, values in items.values.items():
        present = items.present[name]
        if values.ndim < 2 or len(values) != count or present.shape != (count,) or present.dtype != np.bool_:
            raise _unfit(f"features of {name} need one row and one presence for each item", values.shape)
        _check_finite(f"features of {name}", values)


def _check_model(model: ModelState, items: FeatureTable) -> None:
    for name, shape in model.shapes.items():
        if name not in items.values or items.values[name].shape[1:] != tuple(shape):
            raise _unfit(f"the model reads {name} of another shape than the catalogue's features have", tuple(shape))
    if set(model.parameters) & set(model.frozen):
        raise _unfit("a part of a model is trained or frozen", sorted(set(model.parameters) & set(model.frozen)))
    for name, values in (*model.parameters.items(), *model.frozen.items()):
        if values.dtype != np.float32:
            raise _unfit(f"parameter {name} is not float32", str(values.dtype))
        _check_finite(f"parameter {name}", values)
    if not 0 < model.temperature < float("inf"):
        raise _unfit("the temperature must be above 0", model.temperature)


def _check_finite(what: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise _unfit(f"{what} hold a value that is not finite", None)


def _unfit(what: str, value: object) -> ReleaseError:
    return ReleaseError(what, value=value, action="Release the parts of one run together")
