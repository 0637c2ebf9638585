"""Run in an isolated interpreter: nothing but what is installed can be imported, whatever the environment says.

Python's own switch ``-I`` leaves out ``PYTHONPATH`` and its relatives, the user's site-packages, the working directory
and the script's directory.  A device is started again with it, and with an environment that is made afresh.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from fedrec.errors import ConfigError
from fedrec.thread_settings import COUNTS, WAITING

# What may pass from the environment of whoever starts a device. No PYTHON*, no LD_PRELOAD, nothing of Flower's but its
# home, not the word that says "simulation", and no proxy but for TLS: the SuperNode's own API is on loopback.
_PASSED: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "FEDREC_CACHE", "FLWR_HOME", *COUNTS, *WAITING),
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SYSTEMROOT", "COLUMNS", "NO_COLOR", "TERM"),
)
_SET: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def is_isolated() -> bool:
    """Whether this interpreter was started with ``-I``."""
    return bool(sys.flags.isolated)


def isolated_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a device's processes: the few variables of ``given`` that may pass, and our own."""
    return {**{name: given[name] for name in _PASSED if name in given}, **_SET}


def isolated_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs a module with this interpreter, isolated."""
    return [sys.executable, "-I", "-m", module, *arguments]


def restart_isolated(module: str, arguments: Sequence[str]) -> None:
    """Replace this process by an isolated one that runs ``module``; does nothing where this one is isolated already.

    Raises:
        ConfigError: the interpreter cannot be started again.
    """
    if is_isolated():
        return
    command = isolated_command(module, arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(command[0], command, isolated_environment(os.environ))
    except OSError as error:
        action = "Start it with the interpreter of the environment that fedrec is installed in"
        raise ConfigError(
            f"Python cannot be started again: {error.strerror}", value=command[0], action=action
        ) from None


def refuse_unless_isolated() -> None:
    """Raise ConfigError where this interpreter may have imported something that is not installed."""
    if not is_isolated():
        raise ConfigError(
            "a device's processes run isolated, so that only what is installed can be imported",
            action="Start the device with fedrec device start",
        )
