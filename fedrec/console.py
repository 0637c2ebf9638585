"""What the command line shows: results on stdout, progress and errors on stderr, and JSON for programs.

Titles and notes come from data sets and people. Whatever is printed goes through `plain` and is never read as markup,
so a title can neither colour nor clear a terminal.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from fedrec.errors import FedrecError
from fedrec.simulators_view import MARK

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

# rich is loaded by what shows something to people: a command that prints JSON does without.

_WIDTH_OF_FILES: Final = 120
_LINE_EVERY_SECONDS: Final = 5.0
DASH: Final = "\N{EN DASH}"


class Reporter(Protocol):
    """How a long task tells how far it is. Implementations must be cheap: they are called in inner loops."""

    def stage(self, text: str) -> None:
        """A new stage begins; ``text`` says which, for people."""

    def progress(self, done: int, total: int, what: str) -> None:
        """``done`` of ``total`` (0 = not known) of ``what``, a name that stays the same through a stage."""

    def round(self, record: Mapping[str, Any]) -> None:
        """A round is over; ``record`` is its line of ``events.jsonl``."""


class SilentReporter:
    """Says nothing."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Nothing."""

    def round(self, record: Mapping[str, Any]) -> None:
        """Nothing."""


class PlainReporter:
    """One line a stage, a measured round, and at most every five seconds of progress; for logs and pipes."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def stage(self, text: str) -> None:
        """Print the stage."""
        self._say(text)

    def progress(self, done: int, total: int, what: str) -> None:
        """Print how far, unless something was printed a moment ago."""
        if time.monotonic() - self._said >= _LINE_EVERY_SECONDS:
            self._say(f"  {what}: {done}/{total}" if total else f"  {what}: {done}")

    def round(self, record: Mapping[str, Any]) -> None:
        """Print a round that was measured."""
        if record.get("quality"):
            self._say("  " + round_line(record))

    def _say(self, text: str) -> None:
        print(plain(text), file=sys.stderr, flush=True)
        self._said = time.monotonic()


class RichReporter:
    """Progress bars on a terminal, one for each ``what`` of the stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def stage(self, text: str) -> None:
        """Print the stage; the bars of the last one go."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        from rich.text import Text

        self._tasks.clear()
        self._progress.console.print(Text(plain(text), style="bold"))

    def progress(self, done: int, total: int, what: str) -> None:
        """Move the bar of ``what``."""
        from rich.text import Text

        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(Text(plain(what)).markup, total=total or None)
        self._progress.update(self._tasks[what], completed=done, total=total or None)

    def round(self, record: Mapping[str, Any]) -> None:
        """Print a round that was measured."""
        if record.get("quality"):
            from rich.text import Text

            self._progress.console.print(Text("  " + plain(round_line(record)), style="dim"))


@contextmanager
def open_reporter(*, silent: bool = False) -> Iterator[Reporter]:
    """The reporter that fits: none for ``silent`` (with ``--json``), bars on a terminal, else lines."""
    if silent:
        yield SilentReporter()
    elif not sys.stderr.isatty():
        yield PlainReporter()
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=_console(stderr=True), transient=True) as progress:
            yield RichReporter(progress)


def round_line(record: Mapping[str, Any]) -> str:
    """A round of ``events.jsonl`` as one line; what a record lacks is left out."""
    parts = [f"round {record.get('round', '?')}"]
    quality = (record.get("quality") or {}).get("loo-99neg") or {}
    exact = [f"{name.upper()} {figure(quality.get(name))}" for name in ("hr@10", "ndcg@10") if name in quality]
    if record.get("loss") is not None:
        exact.append(f"loss {figure(record['loss'])}")
    if exact:
        parts.append(f"[{MARK}: {'  '.join(exact)}]")
    if record.get("epsilon_spent") is not None:
        parts.append(f"epsilon {figure(record['epsilon_spent'], 2)}")
    return "  ".join(parts)


def figure(value: Any, digits: int = 3) -> str:
    """A number for people: ``digits`` decimals, thousands apart; a dash for what does not apply."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return DASH
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def size(count: float | None) -> str:
    """Bytes for people: ``1.2 MB``; a dash for what does not apply."""
    if count is None:
        return DASH
    for unit in ("B", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def plain(text: object) -> str:
    """Text with control characters, and those that reorder what is read, made visible or dropped."""
    return _UNREADABLE.sub(_readable, str(text))


_REORDERING: Final = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c"
# Control characters (Unicode's category Cc) and surrogates (Cs), which no later version of Unicode adds to.
_UNREADABLE: Final = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_REORDERING}]")


def _readable(found: re.Match[str]) -> str:
    character = found[0]
    if character in _REORDERING:
        return ""
    return " " if character in "\t\n\r" else "\N{REPLACEMENT CHARACTER}"


def say(text: str, *, style: str = "") -> None:
    """Print a line of a result on stdout."""
    from rich.text import Text

    _console().print(Text(plain(text), style=style), soft_wrap=True)


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[int] = ()
) -> None:
    """Print a table on stdout. ``numbers``: places of the columns that are set to the right."""
    from rich.table import Table
    from rich.text import Text

    say(title, style="bold")
    table = Table()
    for place, column in enumerate(columns):
        table.add_column(Text(plain(column)), justify="right" if place in numbers else "left", no_wrap=place in numbers)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    _console().print(table)


def print_json(value: object) -> None:
    """Print one JSON document on stdout: ASCII, two spaces, figures that are not finite as ``null``."""
    print(json.dumps(jsonable(value), indent=2, allow_nan=False))


def jsonable(value: object) -> Any:
    """The same value as JSON can hold it: NaN and infinities become None, paths text, tuples lists.

    Raises:
        TypeError: for an object that is none of these (numpy's scalars have ``item()`` and pass).
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): jsonable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(inner) for inner in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return jsonable(value.item())
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def show_error(code: str, what: str, value: object | None, action: str, *, as_json: bool) -> None:
    """An error, as JSON on stdout for programs, else as up to three lines on stderr for people."""
    shown = None if value is None else plain(value if isinstance(value, str) else repr(value))
    if shown is not None and len(shown) > 200:
        shown = shown[:197] + "..."
    if as_json:
        print_json({"error": {"code": code, "what": what, "value": shown, "action": action}})
        return
    from rich.text import Text

    console = _console(stderr=True)
    console.print(Text.assemble(("error", "bold red"), f" [{code}] ", plain(what)), soft_wrap=True)
    if shown is not None:
        console.print(Text.assemble(("  got: ", "dim"), shown), soft_wrap=True)
    if action:
        console.print(Text.assemble(("  do:  ", "dim"), plain(action)), soft_wrap=True)


def show_fedrec_error(error: FedrecError, *, as_json: bool) -> None:
    """`show_error` for one of fedrec's own errors."""
    show_error(error.code, error.what, error.value, error.action, as_json=as_json)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _WIDTH_OF_FILES)
