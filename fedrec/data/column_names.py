"""Which column of a table is what, by the names that people give their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fedrec.data.schema import ColumnTaken
from fedrec.errors import ConfigError, DataError

# Compared as `plain_name` gives them; of several that a table has, the first of this list is taken.
INTERACTION_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "user": (
            *("user", "userid", "uid", "useridx", "username", "customerid", "customer", "visitorid", "visitor"),
            *("reviewerid", "memberid", "accountid", "personid", "clientid", "profileid"),
        ),
        "item": (
            *("item", "itemid", "iid", "itemidx", "movieid", "movie", "productid", "product", "parentasin", "asin"),
            *("bookid", "isbn", "book", "artistid", "trackid", "songid", "newsid", "articleid", "videoid", "gameid"),
            *("recipeid", "courseid", "jobid", "businessid", "contentid", "postid", "stockcode", "sku"),
        ),
        "rating": ("rating", "score", "stars", "overall", "starrating", "ratingvalue"),
        "timestamp": (
            *("timestamp", "time", "ts", "datetime", "date", "unixreviewtime", "unixtime", "eventtime", "createdat"),
            *("reviewtime", "invoicedate", "orderdate"),
        ),
        "split": ("split",),
    }
)
ITEM_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # The id of a table of items is often just called id.
        "item": (*INTERACTION_NAMES["item"], "id"),
        "title": ("title", "name", "itemname", "itemtitle", "movietitle", "productname", "producttitle", "booktitle"),
        "text": ("text", "description", "desc", "abstract", "overview", "summary", "plot", "synopsis", "content"),
        "image": ("image", "imagepath", "imagefile", "picture", "picturepath", "photo", "poster", "posterpath"),
        "sound": ("sound", "soundpath", "audio", "audiopath", "audiofile"),
    }
)
_REQUIRED: Final = {"user", "item"}
_ATOMIC_TYPES: Final = ("token", "token_seq", "float", "float_seq")


def plain_name(column: str) -> str:
    """A column's name in lower-case letters and digits: ``userId``, ``User ID`` and ``user_id:token`` are one."""
    name, _, kind = column.partition(":")
    return "".join(mark for mark in (name if kind in _ATOMIC_TYPES else column).lower() if mark.isalnum())


def find_columns(
    header: Sequence[str],
    names: Mapping[str, tuple[str, ...]],
    path: Path,
    given: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """The place of each part that the header has a column for.

    Args:
        header: the column names.
        names: part -> its usual names (`INTERACTION_NAMES`, `ITEM_NAMES`); ``user`` and ``item`` are required.
        path: the table, for messages.
        given: part -> column, said by the caller; it goes before usual names.

    Raises:
        ConfigError: ``given`` names a part that there is not.
        DataError: a required part has no column, a given column is missing, or two columns could be the same part.
    """
    given = dict(given or {})
    if unknown := sorted(given.keys() - names.keys()):
        raise ConfigError("no such part of a table", value=unknown, action=f"Parts are {', '.join(names)}")
    found: dict[str, int] = {}
    for part, column in given.items():
        if column not in header:
            raise DataError(
                f"no column for {part}", path=path, value=column, action=f"It has the columns {_listed(header)}"
            )
        found[part] = header.index(column)
    for part, usual in names.items():
        if part not in found:
            place = _by_usual_name(part, usual, header, set(found.values()), path)
            if place is not None:
                found[part] = place
    if missing := [part for part in names if part in _REQUIRED and part not in found]:
        parts = ", ".join(missing)
        raise DataError(
            f"no column for {parts}: found {_listed(header)}",
            path=path,
            action=f"Name it as usual ({', '.join(names[missing[0]][:3])}, ...), or say which it is with columns",
        )
    return found


def taken(
    file: str, header: Sequence[str], parts: Mapping[int, str], notes: Mapping[int, str] | None = None
) -> list[ColumnTaken]:
    """What each column of a table was taken for. ``parts``, ``notes``: by place; a column without a part is ignored."""
    said = notes or {}
    return [ColumnTaken(file, name, parts.get(place), said.get(place, "")) for place, name in enumerate(header)]


def _by_usual_name(part: str, usual: Sequence[str], header: Sequence[str], used: set[int], path: Path) -> int | None:
    for name in usual:
        places = [place for place, column in enumerate(header) if plain_name(column) == name and place not in used]
        if len(places) > 1:
            columns = [header[place] for place in places]
            raise DataError(
                f"several columns could be the {part}",
                path=path,
                value=columns,
                action=f"Say which, as columns={{{part!r}: {columns[0]!r}}}, or take the others out",
            )
        if places:
            return places[0]
    return None


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(header[:12])
    return f"{shown}, ..." if len(header) > 12 else shown
