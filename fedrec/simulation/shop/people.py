"""Who the shop's users are, apart from what they like: ids, ages and regions. Neither says anything about taste."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fedrec.simulation.shop.latents import stream

AGES: Final = ("18-24", "25-34", "35-44", "45-54", "55+")
REGIONS: Final = ("north", "east", "south", "west")


@dataclass(frozen=True)
class PeopleRows:
    """All users in order, column-wise."""

    age: list[str]
    region: list[str]

    def __len__(self) -> int:
        return len(self.age)


def user_id(place: int) -> str:
    """The id of a user by place, from 0. Ids sort like places up to 999,999 users."""
    return f"u{place + 1:06d}"


def draw_people(seed: int, users: int) -> PeopleRows:
    """Ages and regions of so many users."""
    rng = stream(seed, "user attributes")
    age, region = rng.integers(0, len(AGES), users), rng.integers(0, len(REGIONS), users)
    return PeopleRows(np.array(AGES, dtype=object)[age].tolist(), np.array(REGIONS, dtype=object)[region].tolist())
