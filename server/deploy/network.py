"""One SuperLink and its SuperNodes as processes of this machine, with TLS and node authentication on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.errors import ProtocolError
from fedrec.simulation.engines.flower import command_of, environment_of, free_port, run_command, stop_all, toml_value
from server.deploy.credentials import write_certificates, write_node_key

_LINK: Final = "fedrec"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0
_FEDREC: Final = (sys.executable, "-m", "fedrec.cli.main")
Value = str | int | float


@dataclass(frozen=True)
class Network:
    """``home``: where all logs, keys and certificates are. ``port``: what devices call, on loopback."""

    home: Path
    environment: Mapping[str, str]
    port: int

    def flwr(self, *words: str, seconds: float) -> str:
        """One of Flower's commands; returns what it prints. Raises ProtocolError where it fails or takes too long."""
        done = run_command([command_of("flwr"), *words], self.environment, seconds=seconds)
        if done.returncode:
            raise ProtocolError(f"flwr {words[0]} failed: {done.stdout[-2000:]}", action=f"Look into {self.home}")
        return done.stdout

    def run(self, app: Path, run_config: Mapping[str, Value], *, seconds: float) -> str:
        """`flwr run` of an app; returns its log."""
        chosen = " ".join(f"{key}={toml_value(value)}" for key, value in run_config.items())
        return self.flwr("run", str(app), _LINK, "--stream", "--run-config", chosen, seconds=seconds)


@contextmanager
def network(home: Path, devices: Sequence[Mapping[str, str]]) -> Iterator[Network]:
    """A SuperLink, and a device with each of these options of `fedrec device start`, while the context lasts.

    Raises:
        ConfigError: Flower's commands are not installed. ProtocolError: the network does not come up.
    """
    write_certificates(home)
    port, control = free_port(), free_port()
    link = f'address = "127.0.0.1:{control}"\nroot-certificates = "{home / "ca.pem"}"\n'
    (home / "config.toml").write_text(f'[superlink]\ndefault = "{_LINK}"\n\n[superlink.{_LINK}]\n{link}')
    opened = Network(home, environment_of(home), port)
    with ExitStack() as stack, _stopped(home) as started:
        files = ["--root-certificates", "ca.pem", "--certificate", "server.pem", "--key", "server.key"]
        ports = ["--listen", f"127.0.0.1:{port}", "--control-port", str(control)]
        command = [*_FEDREC, "server", "start", *ports, *files, "--database", str(home / "superlink.db")]
        started.append(_start(stack, opened, "server", command))
        for number, own in enumerate(devices):
            public = write_node_key(home / f"node-{number}")
            _register(opened, public)
            command = [*_FEDREC, "device", "start"]
            command += ["--superlink", f"127.0.0.1:{port}", "--root-certificates", "ca.pem"]
            command += ["--node-key", f"node-{number}", *(word for pair in own.items() for word in pair)]
            started.append(_start(stack, opened, f"device-{number}", command))
        yield opened


@contextmanager
def _stopped(home: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A list of processes that are stopped at the end: the last one first, all but the first side by side."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        yield processes
    finally:
        for process in processes[1:]:
            process.terminate()
        for process in processes[1:]:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        for process in processes[:1]:
            stop_all(process, home)


def _start(stack: ExitStack, opened: Network, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
    log = stack.enter_context((opened.home / f"{name}.log").open("wb"))
    return subprocess.Popen(
        command,
        cwd=opened.home,
        env={**opened.environment},
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )


def _register(opened: Network, public: Path) -> None:
    """Make a SuperNode's key known, as soon as the SuperLink listens."""
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            opened.flwr("supernode", "register", str(public), _LINK, seconds=_START_SECONDS)
        except ProtocolError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.5)
        else:
            return
