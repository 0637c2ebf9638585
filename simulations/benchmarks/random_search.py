"""Random search over a rival's settings, kept as it goes; most of the tries are near the best found.

Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization".  What is tried depends on the seed and on
what was found alone, and what was tried is not tried again: a search goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Values = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """Values from ``low`` to ``high``, spread evenly or evenly in the logarithm; ``zero``: the chance of 0 instead."""

    low: float
    high: float
    logarithmic: bool = False
    whole: bool = False
    zero: float = 0.0

    def draw(self, generator: np.random.Generator) -> float | int:
        """A value at random."""
        if generator.random() < self.zero:
            return 0
        low, high = (np.log(self.low), np.log(self.high)) if self.logarithmic else (self.low, self.high)
        value = float(generator.uniform(low, high))
        return self._kept(np.exp(value) if self.logarithmic else value)

    def near(self, value: float, generator: np.random.Generator) -> float | int:
        """A value near another: a sixth of the range away, typically."""
        if not value and self.zero:
            return 0
        step = float(generator.normal()) / 6
        if self.logarithmic:
            return self._kept(np.exp(np.log(value) + step * np.log(self.high / self.low)))
        return self._kept(value + step * (self.high - self.low))

    def _kept(self, value: float) -> float | int:
        value = float(min(max(value, self.low), self.high))
        return round(value) if self.whole else float(f"{value:.3g}")


Space = Mapping[str, Range]


def search(
    space: Space,
    quality: Callable[[Values], float],
    *,
    tries: int,
    seed: int,
    kept: Path,
    starts: Sequence[Values] = (),
) -> list[dict[str, Any]]:
    """Try settings; all found so far, the best first, each ``{"settings", "quality"}``.

    The first tries are ``starts`` (settings that were good elsewhere), a fifth of the others is drawn at random, the
    rest near one of the five best.

    Args:
        space: where each setting is drawn from.
        quality: of settings, on validation items; higher is better.
        tries: how many in all.
        seed: of the draws.
        kept: a file of one JSON line a try.
        starts: settings to begin with.
    """
    done = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.is_file() else []
    for number in range(len(done), tries):
        generator = np.random.default_rng([seed, number])
        settings = _proposed(space, done, number, tries, generator, starts)
        done.append({"settings": settings, "quality": quality(settings)})
        with kept.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(done[-1]) + "\n")
    return ordered(done)


def ordered(done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tries, the best first."""
    return sorted(done, key=lambda one: -float(one["quality"]))


def _proposed(
    space: Space,
    done: Sequence[dict[str, Any]],
    number: int,
    tries: int,
    generator: np.random.Generator,
    starts: Sequence[Values],
) -> Values:
    if number < len(starts):
        return {name: starts[number].get(name, 0) for name in space}
    if number < len(starts) + (tries - len(starts)) // 5:
        return {name: one.draw(generator) for name, one in space.items()}
    best = ordered(done)[: max(1, min(5, len(done)))]
    settings = dict(best[int(generator.integers(len(best)))]["settings"])
    for name, one in space.items():
        if generator.random() < 0.25:
            fresh = generator.random() < 0.1
            settings[name] = one.draw(generator) if fresh else one.near(settings[name], generator)
    return settings
