"""What `fedrec server up` says about itself in ``running.json``, and how it is found and ended from another process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from fedrec.detached import ProcessMark, start_detached
from fedrec.errors import ConfigError
from fedrec.server.operation.server_directory import ServerDirectory
from fedrec.whole_files import read_json

END_SECONDS: Final = 60.0
START_SECONDS: Final = 240.0


def read_running(server: ServerDirectory) -> dict[str, Any]:
    """The state file's content; empty before the first start. Raises StoreError where it is damaged."""
    return read_json(server.state) or {}


def is_up(running: dict[str, Any]) -> bool:
    """Whether the process that wrote this state is there."""
    mark = ProcessMark.read(running.get("process"))
    return mark is not None and mark.alive


def end_server(server: ServerDirectory) -> str:
    """End what `fedrec server up` started, and nothing else; says what was left in the middle.

    Raises:
        ConfigError: it is not up.
    """
    server.facts()
    running = read_running(server)
    mark = ProcessMark.read(running.get("process"))
    if mark is None or not mark.alive:
        raise ConfigError("the server is not up", value=str(server.path.parent), action="See fedrec server status")
    forced = mark.end(END_SECONDS)
    # Its processes end with it; after a kill they find out within a second.
    for facts in running.get("processes", {}).values():
        child = ProcessMark.read(facts.get("process"))
        if child is not None:
            child.end(5.0)
    after = read_running(server)
    return str(after.get("left", "")) if not forced else "it had to be killed; the next fedrec server up goes on"


def start_server(server: ServerDirectory, options: Sequence[str]) -> ProcessMark:
    """`fedrec server up` as a process of its own, once it is up.

    Args:
        server: whose.
        options: of the command.

    Raises:
        ConfigError: it is up already. ProtocolError: it did not come up; says the last that it printed.
    """
    if is_up(read_running(server)):
        raise ConfigError("the server is up already", value=str(server.path.parent), action="See fedrec server status")
    server.state.unlink(missing_ok=True)
    command = [sys.executable, "-m", "fedrec.cli.main", "server", "up", str(server.path.parent), *options]
    log = server.logs / "server.log"
    return start_detached(command, os.environ, log, lambda: is_up(read_running(server)), seconds=START_SECONDS)
