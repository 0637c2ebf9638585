"""Start a server: Flower's SuperLink on loopback for its operator, and the fence before it for devices.

``python -m fedrec.server.superlink ...`` is ``flower-superlink ...`` that watches its parent.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from fedrec.child_process import end_child, run_watched, watched_environment
from fedrec.errors import ConfigError, ProtocolError
from fedrec.server.fence import Fence

LOOPBACK: Final = "127.0.0.1"
_COMMAND: Final = "flower-superlink"


@dataclass(frozen=True)
class ServerFiles:
    """What a server listens with.

    Args:
        root_certificates: the authority's certificates, PEM.
        certificate: the server's, with its chain; for its public name, and for 127.0.0.1, where operators call it.
        key: the certificate's secret key.
        database: Flower's own record of nodes and runs, kept over restarts.
        superexec_secret: what a SuperExec of its own shows (`fedrec.server.superexec`), which lets a run outlive the
            SuperLink; None: the SuperLink starts one that ends with it.
    """

    root_certificates: Path
    certificate: Path
    key: Path
    database: Path
    superexec_secret: Path | None = None

    def check(self) -> None:
        """Raise ConfigError where a file is missing."""
        for path in (self.root_certificates, self.certificate, self.key):
            if not path.is_file():
                raise ConfigError("a file is missing", value=path.name, action="Make it: see docs/deployment.md")


def serve_devices(
    files: ServerFiles, listen: tuple[str, int], control_port: int, started: Callable[[], None] = lambda: None
) -> None:
    """Run a SuperLink and its fence until the process is told to end (SIGTERM or SIGINT).

    Args:
        files: certificates and database.
        listen: host and port that devices call. Nothing but the Fleet API answers there.
        control_port: on loopback, where `flwr run` and Flower's own processes find the SuperLink.
        started: called once the SuperLink was started.

    Raises:
        ConfigError: a file is missing, or the two ports are one. ProtocolError: the SuperLink ended.
    """
    files.check()
    if listen[1] == control_port:
        raise ConfigError("operators and devices need two ports", value=control_port, action="Name another")
    trusted = ssl.create_default_context(cafile=str(files.root_certificates))
    fence = fence_server(files, listen, Fence(f"https://{LOOPBACK}:{control_port}", trusted))
    process = subprocess.Popen(
        superlink_command(files, control_port), env=watched_environment(server_environment()), stdin=subprocess.DEVNULL
    )
    # The fence raises what ended it once more, when it has ended; by then there is something left to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_end_with, args=(process, fence), daemon=True).start()
    try:
        started()
        fence.run()
        if process.poll() is not None:
            raise ProtocolError("the SuperLink ended", value=process.returncode, action="Look at what it printed")
    finally:
        end_child(process)


def fence_server(files: ServerFiles, listen: tuple[str, int], fence: Fence) -> uvicorn.Server:
    """What answers devices, with TLS, at an address; it is not started yet."""
    return uvicorn.Server(
        uvicorn.Config(
            fence,
            host=listen[0],
            port=listen[1],
            ssl_certfile=str(files.certificate),
            ssl_keyfile=str(files.key),
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
        )
    )


def _end_with(process: subprocess.Popen[bytes], fence: uvicorn.Server) -> None:
    process.wait()
    fence.should_exit = True


def superlink_command(files: ServerFiles, control_port: int) -> list[str]:
    """The command line of a SuperLink on loopback: it authenticates nodes, installs nothing, ends with its parent."""
    apart = files.superexec_secret is not None
    return [
        *(sys.executable, "-m", "fedrec.server.superlink", "--host", LOOPBACK, "--port", str(control_port)),
        *("--ssl-ca-certfile", str(files.root_certificates), "--ssl-certfile", str(files.certificate)),
        *("--ssl-keyfile", str(files.key), "--database", str(files.database), "--enable-supernode-auth"),
        *("--isolation", "process" if apart else "subprocess", "--disable-runtime-dependency-installation"),
        *(("--superexec-auth-secret-file", str(files.superexec_secret)) if apart else ()),
    ]


def server_environment() -> dict[str, str]:
    """The environment of Flower's processes on a server: nothing is reported, fetched or installed."""
    ours = {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        # The SuperLink starts its parts by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    return {**os.environ, **ours}


if __name__ == "__main__":
    run_watched(_COMMAND)
