"""How large a shop is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fedrec.errors import DataError

FACTS = "oracle.json"
SCHEMA = 1


@dataclass(frozen=True)
class ShopSummary:
    """Counts of a shop. ``newcomers``: users with fewer than three training events. ``fresh_items``: items that appear
    in the second season only. ``private_users``: the users, first ones first, who have notes and photos."""

    directory: Path
    seed: int
    users: int
    items: int
    interactions: int
    newcomers: int
    fresh_items: int
    private_users: int
    notes: int
    photos: int

    def __str__(self) -> str:
        return "\n".join(
            (
                f"shop of seed {self.seed} in {self.directory}",
                f"  {self.users:,} users, {self.newcomers:,} of them with fewer than three training events",
                f"  {self.items:,} items, {self.fresh_items:,} of them new in the last season",
                f"  {self.interactions:,} interactions ({self.interactions / (self.users * self.items):.2%} of pairs)",
                f"  {self.notes:,} notes and {self.photos:,} photos of {self.private_users:,} users",
            )
        )


def write_facts(summary: ShopSummary, weights: dict[str, float]) -> None:
    """Write the shop's oracle.json: its counts and the affinity's weights."""
    counts = {name: value for name, value in asdict(summary).items() if name != "directory"}
    facts = {"schema": SCHEMA, **counts, "weights": weights}
    (summary.directory / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def shop_summary(directory: Path, echo: Callable[[str], None] | None = print) -> ShopSummary:
    """Read a shop's counts and print them with ``echo`` (None: print nothing).

    Raises:
        DataError: the directory holds no shop, or its oracle.json is damaged.
    """
    path = Path(directory) / FACTS
    action = "Give a directory that write_shop made, or make it again"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        del facts["weights"]
        summary = ShopSummary(directory=Path(directory), **{name: int(value) for name, value in facts.items()})
    except FileNotFoundError:
        raise DataError("no such file: this directory holds no shop", path=path, action=action) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not the facts of a shop: {error}", path=path, action=action) from None
    if echo is not None:
        echo(str(summary))
    return summary
