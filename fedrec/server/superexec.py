"""``python -m fedrec.server.superexec ...`` is ``flower-superexec ...`` that watches its parent.

It starts a process for each run, and lives beside the SuperLink, so that a run outlives one that crashes.
"""

from __future__ import annotations

import sys
from typing import Final

from fedrec.child_process import run_watched
from fedrec.server.superlink import LOOPBACK, ServerFiles

_COMMAND: Final = "flower-superexec"


def superexec_command(files: ServerFiles, control_port: int) -> list[str]:
    """The command line of a SuperExec for a SuperLink that was started with `ServerFiles.superexec_secret`."""
    return [
        *(sys.executable, "-m", "fedrec.server.superexec", "--runtime-api-address", f"{LOOPBACK}:{control_port}"),
        *("--root-certificates", str(files.root_certificates)),
        *("--superexec-auth-secret-file", str(files.superexec_secret)),
    ]


if __name__ == "__main__":
    run_watched(_COMMAND)
