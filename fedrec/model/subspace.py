"""How modalities share the item space: each begins in coordinates of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Subspace:
    """The coordinates ``start`` to ``start + size`` of the item space, where a modality's vectors begin."""

    start: int
    size: int

    @property
    def places(self) -> range:
        return range(self.start, self.start + self.size)


def subspaces(widths: Mapping[str, int], dimension: int) -> dict[str, Subspace]:
    """Share ``dimension`` coordinates out among modalities: evenly, but none gets more than its width.

    Where there are fewer coordinates than modalities, all share the whole space.
    """
    if dimension < len(widths):
        return {name: Subspace(0, dimension) for name in widths}
    sizes = dict.fromkeys(widths, 0)
    left = dimension
    while left and (open_ := [name for name in widths if sizes[name] < widths[name]]):
        for name in open_[:left]:
            sizes[name] += 1
        left = dimension - sum(sizes.values())
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = Subspace(start, size)
        start += size
    return found
