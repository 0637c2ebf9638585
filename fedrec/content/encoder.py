"""What every encoder is: fitted once on the public catalogue, then a fixed function from content to an array."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedrec.content.bundle import pack
from fedrec.errors import ContentError

Content = TypeVar("Content")
Arrays = dict[str, NDArray[Any]]
Meta = dict[str, Any]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Content of one place in a batch that could not be used in full, and why."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class ContentWarning:
    """Content of one item that could not be used in full; ``item`` is empty where the whole catalogue is meant."""

    item: str
    modality: str
    reason: str


@dataclass(frozen=True)
class Encoded:
    """A batch of encoded content.

    ``values``: [n, ...encoder.shape] in the encoder's dtype, all finite, zeros where nothing was encoded.
    ``present``: bool [n]; False where the content was missing, unreadable or said nothing to the encoder.
    ``problems``: what went wrong, place by place; content that was simply missing is no problem.
    """

    values: NDArray[Any]
    present: NDArray[np.bool_]
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.present)

    def warnings(self, ids: Sequence[str], modality: str) -> tuple[ContentWarning, ...]:
        """The problems by item id instead of place; ``ids`` has one id for each row."""
        return tuple(ContentWarning(ids[p.place], modality, p.reason) for p in self.problems)


class Encoder(ABC, Generic[Content]):
    """A fitted encoder: a fixed, deterministic function of one piece of content, independent of the rest of a batch.

    ``modality`` and ``kind`` are of the class, ``kind`` being the name that it is registered under; ``name`` tells the
    kind, its version and every setting that changes what it computes, so two encoders of one name that were fitted on
    the same content are the same encoder.
    """

    modality: ClassVar[str]
    kind: ClassVar[str]
    block: ClassVar[int] = 256
    """Pieces of a catalogue that are encoded at once, by one thread; see `fedrec.content.blocks`."""

    @classmethod
    def order(cls, batch: Sequence[Content]) -> Sequence[int]:
        """All places of a batch, in the order in which they are best encoded: those that take like long beside each
        other, the longest first.  The same batch gives the same order."""
        return range(len(batch))

    @classmethod
    @abstractmethod
    def fit(cls, batch: Sequence[Content], settings: Any) -> Self:
        """Fit on the catalogue's content: one piece an item, in the catalogue's order, the missing ones included.

        ``settings``: the modality's section of ``content``, for instance `fedrec.config.TextSettings`.  The same batch
        and settings give the same encoder, here and on any other machine of this kind.

        Raises:
            ContentError: there is nothing to fit on, or the encoder cannot work here.
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """Kind, version and settings, as one line."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one encoded piece of content."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of encoded values."""
        return np.dtype(np.float32)

    @property
    def width(self) -> int:
        """The first number of the shape: features, tokens or channels."""
        return self.shape[0]

    @abstractmethod
    def encode(self, batch: Sequence[Content], *, progress: Progress | None = None) -> Encoded:
        """Encode a batch, which may be empty. Bad content becomes a `Problem`, never an exception.

        A catalogue is encoded in blocks, by several threads at once.

        Raises:
            ContentError: the encoder itself cannot work here, for instance because its weights are not installed.
        """

    def weights(self) -> Arrays:
        """Public weights that a model goes on with from these encodings, float32 by name; most encoders have none."""
        return {}

    @abstractmethod
    def state(self) -> tuple[Arrays, Meta]:
        """All that `from_state` needs, as arrays and JSON-able values; weights of frozen backbones are only named."""

    @classmethod
    @abstractmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> Self:
        """The inverse of `state`. Raises ContentError where the state is damaged."""

    def digest(self) -> str:
        """SHA-256 of the fitted state in hex: equal digests mean equal encodings."""
        arrays, meta = self.state()
        return hashlib.sha256(pack(arrays, {"kind": self.kind, "name": self.name, **meta})).hexdigest()

    def empty(self, rows: int) -> Encoded:
        """``rows`` rows of nothing: zeros, none present."""
        return Encoded(np.zeros((rows, *self.shape), self.dtype), np.zeros(rows, np.bool_))


def chunks(total: int, size: int, progress: Progress | None, what: str) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``total``; reports (done, total, what) after each."""
    for start in range(0, total, size):
        stop = min(start + size, total)
        yield slice(start, stop)
        if progress is not None:
            progress(stop, total, what)


def array_of(arrays: Arrays, name: str, shape: tuple[int | None, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Take an array out of a saved state and hold it to its shape (None = any length), dtype and finiteness.

    Raises:
        ContentError: it is missing or of another form.
    """
    array = arrays.get(name)
    fits = (
        array is not None
        and array.dtype == np.dtype(dtype)
        and array.ndim == len(shape)
        and all(want is None or want == got for want, got in zip(shape, array.shape, strict=True))
        and (array.dtype.kind != "f" or bool(np.isfinite(array).all()))
    )
    if array is None or not fits:
        raise ContentError(
            f"a saved encoder's array '{name}' is missing or damaged",
            value=None if array is None else f"{array.dtype} {array.shape}",
            action="Build the features again, or take a fresh release",
        )
    return array


def field_of(meta: Meta, name: str, kind: type | tuple[type, ...], *, most: float | None = None) -> Any:
    """Take a value out of a saved state and hold it to its type, and to at most ``most``. Raises ContentError."""
    value: Any = meta.get(name)
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not fits or (most is not None and not 0 < value <= most):
        raise ContentError(
            f"a saved encoder's field '{name}' is missing or damaged",
            value=value,
            action="Build the features again, or take a fresh release",
        )
    return value
