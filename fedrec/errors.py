"""One exception tree: every error says what happened, with which value, and what to do next.

Each class carries a stable ``code`` (for programs) and an ``exit_code`` (for shells).  The command line prints
``str(error)`` and leaves with ``exit_code``; nothing else in fedrec decides on exit codes.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class FedrecError(Exception):
    """The root of every error that fedrec raises on purpose.

    Args:
        what: what happened, one sentence without a full stop.
        value: the offending value, printed shortened; never pass a secret.
        action: what the reader can do next, one sentence.
    """

    code: ClassVar[str] = "fedrec"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, value: object | None = None, action: str = "") -> None:
        self.what = what
        self.value = value
        self.action = action
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what
        if self.value is not None:
            shown = repr(self.value)
            text += f" (got {shown if len(shown) <= 120 else shown[:117] + '...'})"
        if self.action:
            text += f". {self.action}"
        return f"[{self.code}] {text}"


class ConfigError(FedrecError):
    """A setting is unknown, absurd or contradicts another one."""

    code = "config"
    exit_code = 2


class MissingExtraError(ConfigError):
    """An optional part of fedrec is asked for and not installed."""

    code = "extra"


class DataError(FedrecError):
    """A data file cannot be read as what it should be; names the file and, where there is one, the line."""

    code = "data"
    exit_code = 3

    def __init__(
        self, what: str, *, path: Path | str, line: int | None = None, value: object | None = None, action: str = ""
    ) -> None:
        self.path = Path(path)
        self.line = line
        where = self.path.name if line is None else f"{self.path.name}:{line}"
        super().__init__(f"{where}: {what}", value=value, action=action)


class ContentError(FedrecError):
    """An item's text, picture or attributes, or an encoder for them, cannot be used."""

    code = "content"
    exit_code = 3


class StoreError(FedrecError):
    """A device's event store, or the server's state, cannot be read or written."""

    code = "store"
    exit_code = 4


class ModelError(FedrecError):
    """A model cannot be built, loaded or trained as asked."""

    code = "model"
    exit_code = 5


class PrivacyError(FedrecError):
    """A privacy claim cannot be made or kept."""

    code = "privacy"
    exit_code = 6


class BudgetExceededError(PrivacyError):
    """The next release would spend more privacy than the run was given; the run stops before it."""

    code = "budget"
    exit_code = 7


class SumError(FedrecError):
    """A contribution or a private sum is not of the agreed form: length, bound, ring or message."""

    code = "sum"
    exit_code = 8


class ReleaseError(FedrecError):
    """A release is damaged, unsigned, signed by another key, or of another version."""

    code = "release"
    exit_code = 9


class ProtocolError(FedrecError):
    """A message of the other side is malformed, out of turn, or refused."""

    code = "protocol"
    exit_code = 10
