"""Give every device the same signed files: an ASGI application that reads from one directory, and writes nothing."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from fedrec.enrolment.public_paths import public_name
from fedrec.server.fence import Receive, Scope, Send, say_status

_PART: Final = 1 << 16


class PublicFiles:
    """Answers GET for the names that `public_name` knows. No link is followed, and no directory is listed.

    Args:
        directory: where the files are; looked at anew for each request.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name = public_name(scope["path"]) if scope["method"] == "GET" else None
        file = None if name is None else _opened(self._directory.joinpath(*name))
        if file is None:
            await say_status(send, 404)
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            headers = [(b"content-length", str(size).encode()), (b"content-type", b"application/octet-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while size > 0 and (part := await asyncio.to_thread(file.read, min(size, _PART))):
                size -= len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _opened(path: Path) -> BinaryIO | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    return os.fdopen(handle, "rb")
