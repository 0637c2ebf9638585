"""Flower's SuperNode as a child of the device's process, which runs no app itself and ends with its parent.

``python -I -m fedrec.client.supernode ...`` is ``flower-supernode ...`` that watches its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.child_process import end_child, run_watched, watched_environment
from fedrec.client.flower_runtime import LOOPBACK, check_flower, is_up
from fedrec.client.isolated import isolated_command, isolated_environment, refuse_unless_isolated
from fedrec.errors import ConfigError, ProtocolError
from fedrec.randomness import fresh_key

_START_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Connection:
    """How a device reaches its SuperLink. There is no way without TLS, and none without a key of the device's own.

    Args:
        superlink: host:port that faces devices.
        root_certificates: a file with the authority's certificates, in PEM.
        node_key: a file with this SuperNode's secret key (ECDSA, OpenSSH's format), known to the SuperLink.
    """

    superlink: str
    root_certificates: Path
    node_key: Path

    def check(self) -> None:
        """Raise ConfigError where a file is missing, or others than its owner can read the key."""
        for name, path in (("root certificates", self.root_certificates), ("node's key", self.node_key)):
            if not path.is_file():
                raise ConfigError(f"the file with the {name} is missing", value=path.name, action="Give its path")
        if os.name == "posix" and self.node_key.stat().st_mode & 0o077:
            action = "Take the rights of others away: chmod 600 FILE"
            raise ConfigError("the node's key can be read by others", value=self.node_key.name, action=action)


class SuperNode:
    """A SuperNode that runs. ``address``: host:port of its runtime API; ``secret``: what opens it."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, secret: bytes) -> None:
        self._process = process
        self.address = address
        self.secret = secret

    def check(self) -> None:
        """Raise ProtocolError where it has ended."""
        if self._process.poll() is not None:
            action = "Look at what it printed: an unknown key or certificate, or a SuperLink that is not there"
            raise ProtocolError("the SuperNode ended", value=self._process.returncode, action=action)

    def wait_until_up(self) -> None:
        """Return once its runtime API answers. Raises ProtocolError where it does not come up."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            self.check()
            if is_up(self.address):
                return
            time.sleep(0.1)
        raise ProtocolError("the SuperNode does not come up", value=self.address)


@contextmanager
def supernode(connection: Connection, environment: Mapping[str, str], port: int) -> Iterator[SuperNode]:
    """A SuperNode while the context lasts; its runtime API is on loopback and opens to the holder of a fresh secret.

    Args:
        connection: to the SuperLink.
        environment: of which the few variables of `isolated_environment` pass.
        port: of the runtime API.

    Raises:
        ConfigError: a file is missing or Flower is another version. ProtocolError: it does not come up.
    """
    check_flower()
    connection.check()
    secret = fresh_key()
    with tempfile.TemporaryDirectory(prefix="fedrec-device-") as kept:
        file = Path(kept) / "runtime"
        file.touch(mode=0o600)
        file.write_bytes(secret)
        options = ["--superlink", connection.superlink, "--root-certificates", str(connection.root_certificates)]
        options += ["--auth-supernode-private-key", str(connection.node_key), "--isolation", "process"]
        options += ["--superexec-auth-secret-file", str(file), "--host", LOOPBACK, "--port", str(port)]
        command = isolated_command("fedrec.client.supernode", options)
        process = subprocess.Popen(
            command, env=watched_environment(isolated_environment(environment)), stdin=subprocess.DEVNULL
        )
        try:
            started = SuperNode(process, f"{LOOPBACK}:{port}", secret)
            started.wait_until_up()
            file.unlink()
            yield started
        finally:
            end_child(process)


def main() -> None:
    """Run Flower's own command, watched."""
    refuse_unless_isolated()
    check_flower()
    # Not where the device's own process would import it: it loads all of a SuperNode.
    from fedrec.client.supernode_messages import mend_supernode

    mend_supernode()
    status = _status_of("flower-supernode")
    # At once: the thread that answers this machine's app would keep a process up that takes no more messages.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _status_of(command: str) -> int:
    """Be a command (`run_watched`) until it ends; the status to leave with, its reason told on stderr."""
    try:
        run_watched(command)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
