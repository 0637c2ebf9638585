"""What the process of a run says about itself in the run's directory: that it is there, and why it ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fedrec.detached import ProcessMark
from fedrec.errors import FedrecError, StoreError
from fedrec.sqlite_errors import SQLITE_ERRORS
from fedrec.whole_files import cannot_write, read_json, write_json

PROCESS: Final = "process.json"
FAILURE: Final = "failure.json"


@contextmanager
def marked_run(out: Path) -> Iterator[None]:
    """Say while the context lasts that this process works in ``out``, and afterwards what ended it, if anything did.

    Raises:
        StoreError: the disk refuses, or is full, wherever in the run that was.
    """
    try:
        with _disk_by_name(out):
            out.mkdir(parents=True, exist_ok=True)
            (out / FAILURE).unlink(missing_ok=True)
            write_json(out / PROCESS, ProcessMark.of(os.getpid()).tree())
            yield
    except FedrecError as error:
        # Where even this cannot be written, the run's log has it.
        with suppress(StoreError):
            write_json(out / FAILURE, {"code": error.code, "what": error.what, "action": error.action})
        raise
    finally:
        with suppress(OSError):
            (out / PROCESS).unlink(missing_ok=True)


def running_process(out: Path) -> ProcessMark | None:
    """The process that works in a run's directory; None where there is none."""
    with suppress(StoreError):
        mark = ProcessMark.read(read_json(out / PROCESS))
        return mark if mark is not None and mark.alive else None
    return None


def failure_of(out: Path) -> dict[str, Any] | None:
    """What ended the last process that worked there: ``code``, ``what``, ``action``; None where nothing did."""
    with suppress(StoreError):
        return read_json(out / FAILURE)
    return None


@contextmanager
def _disk_by_name(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(Path(str(error.filename or out)), error) from error
    except SQLITE_ERRORS as error:
        action = "Make room on the disk; then start the run again with the same directory, and it goes on"
        raise StoreError(f"the run's state cannot be written: {error}", value=str(out), action=action) from error
