"""Logging: structlog over the standard library's logging, with what must not be written taken out first.

A log line is one more way out of a device, and nobody reads logs as carefully as a protocol. So `redact` works by
allow-list: plain scalars pass, containers are walked, and every other object (a tensor, a key, a model) is shown as
its type and shape only. Values under names that speak of secrets, or of what a person did or wrote, are never shown.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import date
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import structlog

REDACTED: Final = "[redacted]"

_SECRET: Final = re.compile(r"(secret|key|seed|mask|password|passphrase|token|share|credential)s?|private|noise|nonce")
_PERSONAL: Final = re.compile(r"(user|item|title|text|note|photo)s?|history")
_HARMLESS: Final = re.compile(r"public|hash|digest|sha256|fingerprint|name|count|length|bytes|bits|width")
_DIGEST: Final = re.compile(r"public|hash|digest|sha256|fingerprint|root")
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
# 32 bytes or more, as hexadecimal digits or as padded base64: the size of every key fedrec makes.
_KEY_LIKE: Final = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{64,}|[A-Za-z0-9+/_-]{43}=)(?![0-9A-Za-z=])")
_DEEPEST: Final = 6


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: returns the event with secrets, personal data and opaque objects replaced."""
    return {str(name): _shown(str(name), value, 0) for name, value in event.items()}


def set_up_logging(*, verbose: bool, others: bool = True) -> None:
    """Send all logging of the process to stderr, redacted: lines for people on a terminal, else JSON lines.

    ``verbose`` shows everything from INFO up; without it, fedrec's warnings and other libraries' errors. ``others``:
    False for a process that runs for weeks, where other libraries' lines about each request would bury our own. Safe to
    call twice; handlers that others have put on the root logger stay.  structlog is loaded with the first line, unless
    lines are to be expected or somebody loaded it: most commands say nothing, and it takes as long to load as their
    work.
    """
    handler = _Handler(sys.stderr)
    if verbose or "structlog" in sys.modules:
        handler.setFormatter(_formatter())
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO if verbose and others else logging.ERROR)
    for name in ("fedrec", "server", "client", "simulations"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    logging.captureWarnings(True)


def _formatter() -> logging.Formatter:
    """structlog, set up for its own loggers and for the standard library's."""
    import structlog

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
    )


class _Handler(logging.StreamHandler[Any]):
    """A type of its own, so that setting up twice replaces our handler and nobody else's."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write to what is stderr now: it may have been redirected since, or closed."""
        self.stream = sys.stderr
        if self.formatter is None:
            self.setFormatter(_formatter())
        super().emit(record)


def _shown(name: str, value: Any, depth: int) -> Any:
    words = [word.lower() for word in _WORDS.findall(name)]

    def speaks_of(pattern: re.Pattern[str]) -> bool:
        return any(pattern.fullmatch(word) for word in words)

    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{memoryview(value).nbytes} bytes>"
    if speaks_of(_SECRET) and not speaks_of(_HARMLESS):
        return None if value is None else REDACTED
    if speaks_of(_PERSONAL) and not speaks_of(_HARMLESS) and not isinstance(value, int | None):
        return REDACTED
    return _plain(name, value, depth, keep_digests=speaks_of(_DIGEST))


def _plain(name: str, value: Any, depth: int, *, keep_digests: bool) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path | BaseException | date | Enum):
        text = _PEM.sub(REDACTED, str(value))
        return text if keep_digests else _KEY_LIKE.sub(REDACTED, text)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(inner): _shown(str(inner), one, depth + 1) for inner, one in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_shown(name, one, depth + 1) for one in value]
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"<{type(value).__name__} {dtype} {list(shape)}>"
    return f"<{type(value).__name__}>"
