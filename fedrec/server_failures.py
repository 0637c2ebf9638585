"""Which errors are a server's own word that it failed, so that to ask once more may help."""

from __future__ import annotations

from typing import Final

_FROM: Final = 500


def is_server_failure(error: BaseException) -> bool:
    """Whether this carries an HTTP answer of status 500 or above, whatever library raised it."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return isinstance(status, int) and status >= _FROM
