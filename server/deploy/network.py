"""One SuperLink and its SuperNodes as processes of this machine, with TLS and node authentication on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.client.node_key import write_node_key
from fedrec.errors import ProtocolError
from fedrec.server.operation.control import ControlApi, node_key_bytes
from fedrec.simulation.engines.flower import command_of, environment_of, free_port, run_command, stop_all, toml_value
from server.deploy.credentials import write_certificates

_LINK: Final = "fedrec"
_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 20.0
_FEDREC: Final = (sys.executable, "-m", "fedrec.cli.main")
Value = str | int | float


@dataclass(frozen=True)
class Network:
    """``home``: where all logs, keys and certificates are. ``port``: what devices call; ``control_port``: what the
    operator does; both on loopback. ``started``: the server's process, then the devices'."""

    home: Path
    environment: Mapping[str, str]
    port: int
    control_port: int
    started: list[subprocess.Popen[bytes]]

    def flwr(self, *words: str, seconds: float) -> str:
        """One of Flower's commands; returns what it prints. Raises ProtocolError where it fails or takes too long."""
        done = run_command([command_of("flwr"), *words], self.environment, seconds=seconds)
        if done.returncode:
            raise ProtocolError(f"flwr {words[0]} failed: {done.stdout[-2000:]}", action=f"Look into {self.home}")
        return done.stdout

    def run(self, app: Path, run_config: Mapping[str, Value], *, seconds: float) -> str:
        """`flwr run` of an app; returns its log."""
        return self.flwr(*_run(app, run_config), seconds=seconds)

    def attempt(self, app: Path, run_config: Mapping[str, Value], *, seconds: float) -> str:
        """`flwr run` of an app that may fail; returns its log."""
        log = run_command([command_of("flwr"), *_run(app, run_config)], self.environment, seconds=seconds).stdout
        with (self.home / "attempts.log").open("a", encoding="utf-8") as kept:
            kept.write(log)
        return log

    def start_unguarded(self, node_config: Mapping[str, Value]) -> None:
        """Start a SuperNode as Flower does, which runs what it is sent: to show what the gate is for."""
        _register(self, write_node_key(self.home / "node-unguarded"))
        chosen = " ".join(f"{key}={toml_value(value)}" for key, value in node_config.items())
        command = [command_of("flower-supernode"), "--superlink", f"127.0.0.1:{self.port}", "--port", str(free_port())]
        command += ["--root-certificates", "ca.pem", "--auth-supernode-private-key", "node-unguarded"]
        command += ["--host", "127.0.0.1", "--node-config", chosen]
        self.start("unguarded", command)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process of the network; what it prints is in ``NAME.log``."""
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.home,
                env={**self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.started.append(process)

    def stop(self) -> None:
        """End all of them: devices side by side, then the server, then what is left of them."""
        server, *devices = self.started
        for process in devices:
            process.terminate()
        for process in devices:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        stop_all(server, self.home)


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
    opened = Network(home, environment_of(home), port, control, [])
    files = ["--root-certificates", "ca.pem", "--certificate", "server.pem", "--key", "server.key"]
    ports = ["--listen", f"127.0.0.1:{port}", "--control-port", str(control)]
    opened.start("server", [*_FEDREC, "server", "start", *ports, *files, "--database", str(home / "superlink.db")])
    try:
        for number, own in enumerate(devices):
            _register(opened, write_node_key(home / f"node-{number}"))
            command = [*_FEDREC, "device", "start", "--superlink", f"127.0.0.1:{port}"]
            command += ["--root-certificates", "ca.pem", "--node-key", f"node-{number}"]
            opened.start(f"device-{number}", [*command, *(word for pair in own.items() for word in pair)])
        yield opened
    finally:
        opened.stop()


def _run(app: Path, run_config: Mapping[str, Value]) -> list[str]:
    chosen = " ".join(f"{key}={toml_value(value)}" for key, value in run_config.items())
    return ["run", str(app), _LINK, "--stream", "--run-config", chosen]


def _register(opened: Network, public: Path) -> None:
    """Make a SuperNode's key known, as soon as the SuperLink listens."""
    end, key = time.monotonic() + _START_SECONDS, node_key_bytes(public.read_text(encoding="ascii"))
    while True:
        control = ControlApi(opened.control_port, opened.home / "ca.pem")
        try:
            control.register(key)
        except ProtocolError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.5)
        else:
            return
        finally:
            control.close()
