"""The processes of `fedrec serve`: one that listens, and a worker for each core, which share nothing but the port."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fedrec.api.release import open_release
from fedrec.errors import ConfigError
from fedrec.local_http import LOOPBACK, checked_token

if TYPE_CHECKING:
    from fastapi import FastAPI

TOKEN: Final = "FEDREC_SERVE_TOKEN"
_RELEASE, _KEY = "FEDREC_SERVE_RELEASE", "FEDREC_SERVE_KEY"


def serve(release: Path, *, host: str, port: int, workers: int, trusted_key: Path | None = None) -> None:
    """Rank over HTTP until the process is told to end.

    The token is read from the environment, ``FEDREC_SERVE_TOKEN``, so that no list of processes shows it.

    Args:
        release: a release's directory, or that of a run.
        host: the address to listen on; beyond loopback a token is needed.
        port: the port.
        workers: processes, from 1.
        trusted_key: the publisher's public key; None: a release of any signer.

    Raises:
        ReleaseError: the release cannot be used. ConfigError: an address beyond loopback without a token, or a token
            that is too short.
    """
    import uvicorn

    token = checked_token(TOKEN, os.environ.get(TOKEN))
    if token is None and host not in LOOPBACK:
        raise ConfigError(
            "an address that others reach needs a token",
            value=host,
            action=f"Set {TOKEN}, or leave --host at 127.0.0.1",
        )
    open_release(release, trusted_key)  # a bad one is said here, not by each worker
    os.environ[_RELEASE] = str(release)
    os.environ[_KEY] = "" if trusted_key is None else str(trusted_key)
    uvicorn.run(
        "fedrec.serving.process:worker",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=1_000,
        timeout_keep_alive=5,
    )


def worker() -> FastAPI:
    """The application of one worker, as its environment says."""
    from fedrec.serving.app import application

    key = os.environ[_KEY]
    return application(open_release(os.environ[_RELEASE], Path(key) if key else None), os.environ.get(TOKEN))
