"""Writes a shop as a data directory: the same seed and sizes always give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fedrec.errors import ConfigError
from fedrec.simulation.shop import csv_files, parquet_files
from fedrec.simulation.shop.behaviour import FRESH_SHARE, ShopEvents, draw_events
from fedrec.simulation.shop.catalogue import describe_items, write_media
from fedrec.simulation.shop.considered import draw_considered_events
from fedrec.simulation.shop.item_rows import item_rows
from fedrec.simulation.shop.latents import WEIGHTS, draw_items, draw_users
from fedrec.simulation.shop.oracle import save_oracle
from fedrec.simulation.shop.people import draw_people
from fedrec.simulation.shop.private import write_private
from fedrec.simulation.shop.sizes import (
    BULK_ITEMS,
    LEAST_ITEMS,
    LEAST_USERS,
    MOST_ITEMS,
    MOST_USERS,
    default_items,
    in_bulk,
)
from fedrec.simulation.shop.summary import ShopSummary, write_facts

PRIVATE_USERS: Final = 5_000

Form = Literal["csv", "parquet"]
Progress = Callable[[int, int, str], None]


def write_shop(
    out: Path,
    *,
    users: int,
    items: int | None = None,
    seed: int = 0,
    private_users: int | None = None,
    form: Form = "csv",
    pictures: bool | None = None,
    progress: Progress | None = None,
) -> ShopSummary:
    """Make a shop and write it as a data directory, with its oracle beside it.

    Files: items.csv, images/<item>.jpg, sounds/<item>.wav (of nine items in ten), users.csv, interactions.csv
    (user,item,timestamp; sorted by user and time; the evaluation items are in it), loo_99neg.csv (a user's last item is
    the test item, the one before the validation item, empty for users of fewer than three events), notes.csv,
    photos/<user>/<number>.jpg, oracle.safetensors and oracle.json. In Parquet items.parquet and population.parquet
    (`fedrec.data.population_file`) stand for the four CSV files that are not notes. The same arguments give the same
    bytes on the same versions of numpy, Pillow and pyarrow, and both forms are read as the same data set.

    From a million users or 100,000 items on, users choose among what each considers (`considered`), not from the whole
    catalogue; from 100,000 items on, words are drawn in bulk.

    Args:
        out: a directory that does not exist yet or is empty.
        users: 20 to 9,999,999.
        items: 140 to 9,999,999, or None for `default_items`. The same number and seed give the same catalogue, whatever
            the users.
        seed: 0 to 2^63 - 1.
        private_users: only so many users, the first ones, have notes and photos: drawing them is what takes time.
            None: 5,000, or none where there are no pictures.
        form: csv, or parquet, which is written and read faster; needs the extra ``data``.
        pictures: whether items have pictures and sounds; None: those of fewer than 100,000 items have.
        progress: called with (done, total, what) now and then.

    Raises:
        ConfigError: an argument is out of range, ``out`` is not an empty directory, or there are too many items for
            pictures.
        MissingExtraError: pyarrow is not installed, for parquet.
    """
    count = default_items(users) if items is None else items
    drawn = count < BULK_ITEMS if pictures is None else pictures
    if private_users is None:
        private_users = PRIVATE_USERS if drawn else 0
    _check(out, users, count, seed, private_users)
    _check_pictures(count, drawn)
    files = csv_files if form == "csv" else parquet_files
    out.mkdir(parents=True, exist_ok=True)
    catalogue, taste = draw_items(seed, count), draw_users(seed, users)
    described = None if count >= BULK_ITEMS else describe_items(seed, catalogue)
    files.write_items(out, item_rows(seed, catalogue, described))
    if described is not None and drawn:
        write_media(out, seed, catalogue, described, progress)
    draw = draw_considered_events if in_bulk(users, count) else draw_events
    counted = _Counted(draw(seed, taste, catalogue), users, progress)
    files.write_population(out, draw_people(seed, users), counted.chunks(), count)
    notes = photos = 0
    if private_users or drawn:
        notes, photos = write_private(out, seed, taste[:private_users], progress)
    save_oracle(out, catalogue, taste)
    summary = ShopSummary(
        directory=out,
        seed=seed,
        users=users,
        items=count,
        interactions=counted.interactions,
        newcomers=counted.newcomers,
        fresh_items=int(FRESH_SHARE * count),
        private_users=min(users, private_users),
        notes=notes,
        photos=photos,
    )
    write_facts(summary, WEIGHTS)
    return summary


@dataclass
class _Counted:
    """Chunks of events on their way to a file: how many events and newcomers have passed, and who is told."""

    source: Iterable[ShopEvents]
    users: int
    progress: Progress | None
    interactions: int = 0
    newcomers: int = 0

    def chunks(self) -> Iterator[ShopEvents]:
        done = 0
        for chunk in self.source:
            yield chunk
            done += len(chunk.count)
            self.interactions += int(chunk.count.sum())
            self.newcomers += int((chunk.training < 3).sum())
            if self.progress is not None:
                self.progress(done, self.users, "users")


def _check_pictures(items: int, drawn: bool) -> None:
    if drawn and items >= BULK_ITEMS:
        raise ConfigError(
            f"a shop of {BULK_ITEMS:,} items or more has no pictures",
            value=items,
            action="Leave pictures out: its words and numbers are drawn in bulk",
        )


def _check(out: Path, users: int, items: int, seed: int, private_users: int) -> None:
    for what, value, least, most in (
        ("users of a shop", users, LEAST_USERS, MOST_USERS),
        ("items of a shop", items, LEAST_ITEMS, MOST_ITEMS),
        ("seed of a shop", seed, 0, 2**63 - 1),
        ("users with notes and photos", private_users, 0, MOST_USERS),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ConfigError(f"{what}: out of range", value=value, action=f"Give an integer from {least} to {most}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        action = "Name a new directory, so that files of two shops never mix"
        raise ConfigError("a shop goes into a new or empty directory", value=str(out), action=action)
