"""Run one of another package's commands as a child process that ends with its parent, whatever ends the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from fedrec.errors import ConfigError

PARENT: Final = "FEDREC_PARENT"
"""In a child's environment: its parent's process id. A parent that is killed while its child is still being started
has left it to another one by the time the child could look for itself."""
_END_SECONDS: Final = 10.0


def run_watched(command: str) -> None:
    """Be the console command of this name, with this process's arguments, and end when the parent does.

    Raises:
        ConfigError: no installed package has the command.
    """
    found = entry_points(group="console_scripts", name=command)
    if not found:
        raise ConfigError("a command is not installed", value=command, action="Install fedrec afresh")
    parent = int(os.environ.pop(PARENT, os.getppid()))
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    sys.argv[0] = command
    next(iter(found)).load()()


def watched_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that is to end with this process (`run_watched`)."""
    return {**environment, PARENT: str(os.getpid())}


def end_child(process: subprocess.Popen[bytes]) -> None:
    """Ask a child to end, and end it where it does not within ten seconds."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_END_SECONDS)
    os._exit(1)
