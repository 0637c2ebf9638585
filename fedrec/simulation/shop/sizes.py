"""How large a shop may be, and from which size on it is made in bulk."""

from __future__ import annotations

from typing import Final

LEAST_USERS: Final = 20
MOST_USERS: Final = 9_999_999
LEAST_ITEMS: Final = 140
MOST_ITEMS: Final = 9_999_999
BULK_USERS: Final = 1_000_000
BULK_ITEMS: Final = 100_000
"""From so many items on, words are drawn for many items at once, and there are no pictures or sounds by default."""


def default_items(users: int) -> int:
    """Items of a shop of so many users: 500 up to 1,000 users, about 1,250 at 10,000, about 3,150 at 100,000."""
    growth: float = max(1.0, users / 1_000) ** 0.4
    return round(500 * growth)


def in_bulk(users: int, items: int) -> bool:
    """Whether users pick from what each of them considers, not from the whole catalogue.

    Scoring every item for every user takes users x items steps: 10^12 in a shop of a million of both.
    """
    return users >= BULK_USERS or items >= BULK_ITEMS
