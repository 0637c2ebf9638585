"""What `fedrec serve` takes and gives, as bounded, frozen types; the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_EVENTS = 1_000
MOST_NOTES = 20
Identifier = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=10_000)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RankRequest(_Message):
    """For whom to rank: what they met, and nothing about who they are."""

    history: tuple[Identifier, ...] = Field(
        default=(), max_length=MOST_EVENTS, description="ids of the items met, oldest first; unknown ones are left out"
    )
    notes: tuple[Text, ...] = Field(default=(), max_length=MOST_NOTES, description="texts that the person wrote")
    at: int | None = Field(default=None, ge=0, le=253_402_300_799, description="when it is asked, seconds since 1970")
    top: int = Field(default=10, ge=1, le=100, description="how many items at most")
    explain: bool = Field(default=False, description="say why each item is there; takes several times as long")


class SearchRequest(_Message):
    """What to search for, and whose taste may count."""

    query: Text = Field(description="words, such as: blue velvet lamp")
    history: tuple[Identifier, ...] = Field(default=(), max_length=MOST_EVENTS, description="as in ranking, for taste")
    taste: float = Field(default=0.0, ge=0, le=1, description="how much what the history says counts")
    top: int = Field(default=10, ge=1, le=100, description="how many items at most")


class RankedItem(_Message):
    """One line of a list. ``rank`` from 1; ``reason``: empty where it was not asked for."""

    rank: int
    item: str
    title: str
    score: float
    reason: str = ""


class ItemList(_Message):
    """A list, best first. ``release``: the id of the release that ranked."""

    release: str
    items: tuple[RankedItem, ...]


class ReleaseFacts(_Message):
    """Which release answers. ``privacy``: the statement that was signed with it."""

    name: str
    id: str
    version: int
    signer: str
    trusted: bool
    items: int
    privacy: dict[str, object]
