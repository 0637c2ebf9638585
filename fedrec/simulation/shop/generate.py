"""Writes a shop as a data directory: the same seed and sizes always give the same bytes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ConfigError
from fedrec.simulation.shop.behaviour import FRESH_SHARE, MOST_EVENTS, NEGATIVES, ShopEvents, draw_events
from fedrec.simulation.shop.catalogue import item_id, write_catalogue
from fedrec.simulation.shop.latents import WEIGHTS, draw_items, draw_users, stream
from fedrec.simulation.shop.oracle import save_oracle
from fedrec.simulation.shop.private import user_id, write_private
from fedrec.simulation.shop.summary import ShopSummary, write_facts

LEAST_USERS, MOST_USERS = 20, 999_999
LEAST_ITEMS, MOST_ITEMS = NEGATIVES + MOST_EVENTS + 17, 99_999
PRIVATE_USERS = 5_000
AGES = ("18-24", "25-34", "35-44", "45-54", "55+")
REGIONS = ("north", "east", "south", "west")

Progress = Callable[[int, int, str], None]


def default_items(users: int) -> int:
    """Items of a shop of so many users: 500 up to 1,000 users, about 1,250 at 10,000, about 3,150 at 100,000."""
    growth: float = max(1.0, users / 1_000) ** 0.4
    return round(500 * growth)


def write_shop(
    out: Path,
    *,
    users: int,
    items: int | None = None,
    seed: int = 0,
    private_users: int = PRIVATE_USERS,
    progress: Progress | None = None,
) -> ShopSummary:
    """Make a shop and write it as a data directory, with its oracle beside it.

    Files: items.csv, images/<item>.jpg, sounds/<item>.wav (of nine items in ten), users.csv, interactions.csv
    (user,item,timestamp; sorted by user and time; the evaluation items are in it), loo_99neg.csv (a user's last item is
    the test item, the one before the validation item, empty for users of fewer than three events), notes.csv,
    photos/<user>/<number>.jpg, oracle.safetensors and oracle.json. The same arguments give the same bytes on the same
    versions of numpy and Pillow.

    Args:
        out: a directory that does not exist yet or is empty.
        users: 20 to 999,999.
        items: 140 to 99,999, or None for `default_items`. The same number and seed give the same catalogue, whatever
            the users.
        seed: 0 to 2^63 - 1.
        private_users: only so many users, the first ones, have notes and photos: drawing them is what takes time.
        progress: called with (done, total, what) now and then.

    Raises:
        ConfigError: an argument is out of range, or ``out`` is not an empty directory.
    """
    count = default_items(users) if items is None else items
    _check(out, users, count, seed, private_users)
    out.mkdir(parents=True, exist_ok=True)
    catalogue, taste = draw_items(seed, count), draw_users(seed, users)
    write_catalogue(out, seed, catalogue, progress)
    _write_users(out, seed, users)
    interactions, newcomers = _write_events(out, draw_events(seed, taste, catalogue), users, count, progress)
    notes, photos = write_private(out, seed, taste[:private_users], progress)
    save_oracle(out, catalogue, taste)
    summary = ShopSummary(
        directory=out,
        seed=seed,
        users=users,
        items=count,
        interactions=interactions,
        newcomers=newcomers,
        fresh_items=int(FRESH_SHARE * count),
        private_users=min(users, private_users),
        notes=notes,
        photos=photos,
    )
    write_facts(summary, WEIGHTS)
    return summary


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


def _write_users(out: Path, seed: int, users: int) -> None:
    """users.csv: user,age,region. Neither says anything about taste."""
    rng = stream(seed, "user attributes")
    age, region = rng.integers(0, len(AGES), users), rng.integers(0, len(REGIONS), users)
    with (out / "users.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "age", "region"))
        writer.writerows((user_id(u), AGES[age[u]], REGIONS[region[u]]) for u in range(users))


def _write_events(
    out: Path, chunks: Iterable[ShopEvents], users: int, items: int, progress: Progress | None
) -> tuple[int, int]:
    """Write interactions.csv and loo_99neg.csv; returns how many interactions and how many newcomers."""
    names: NDArray[np.object_] = np.array([item_id(place) for place in range(items)], dtype=object)
    done = interactions = newcomers = 0
    with (
        (out / "interactions.csv").open("w", encoding="utf-8", newline="") as log,
        (out / "loo_99neg.csv").open("w", encoding="utf-8", newline="") as evaluation,
    ):
        log.write("user,item,timestamp\n")
        evaluation.write("user,valid_item,test_item,negatives\n")
        for chunk in chunks:
            ids = [user_id(done + row) for row in range(len(chunk.count))]
            log.writelines(_log_lines(ids, chunk, names))
            evaluation.writelines(_evaluation_lines(ids, chunk, names))
            done += len(ids)
            interactions += int(chunk.count.sum())
            newcomers += int(np.count_nonzero(chunk.training < 3))
            if progress is not None:
                progress(done, users, "users")
    return interactions, newcomers


def _log_lines(ids: list[str], chunk: ShopEvents, names: NDArray[np.object_]) -> Iterable[str]:
    for user, picks, times, count in zip(ids, chunk.items, chunk.times.tolist(), chunk.count.tolist(), strict=True):
        for item, time in zip(names[picks[:count]], times[:count], strict=True):
            yield f"{user},{item},{time}\n"


def _evaluation_lines(ids: list[str], chunk: ShopEvents, names: NDArray[np.object_]) -> Iterable[str]:
    for user, valid, test, negatives in zip(ids, chunk.valid, chunk.test, chunk.negatives, strict=True):
        yield f"{user},{names[valid] if valid >= 0 else ''},{names[test]},{' '.join(names[negatives])}\n"
