"""Engine ``flower``: `flwr run` on Flower's own simulation runtime, with a SuperLink of its own that ends with it.

Left alone, `flwr run` starts a SuperLink on a fixed port that stays for ever. Here it is started first, on a free port
and with a home directory of its own, so nothing is shared with other runs on the machine, and all of it is stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from fedrec.config.simulated import VARIABLE
from fedrec.errors import ConfigError, ProtocolError
from fedrec.extras import is_installed, missing

_START_SECONDS, _STOP_SECONDS = 60.0, 10.0
_LINK: Final = "fedrec"
_LAST_LINES: Final = 40
_PROCESSES: Final = Path("/proc")


def run_flower(
    app: Path,
    home: Path,
    run_config: Mapping[str, str | int | float],
    *,
    devices: int,
    seconds: float,
    silence: float = 120.0,
    cpus: int = 2,
) -> str:
    """`flwr run` with so many simulated devices; returns the run's log. What the run leaves is where ``out`` says.

    Flower 1.41's simulation runtime was seen to hang: it neither printed nor ended. So it is watched. Where it has been
    silent for too long everything is stopped and started again, and the server goes on from what it kept in ``out``, as
    after any crash.

    Args:
        app: directory of the app's ``pyproject.toml``.
        home: a directory for Flower's own files; made where it is missing.
        run_config: values for keys of ``[tool.flwr.app.config]``; a text of one line, without both kinds of quotes.
        devices: nodes; the ``partition-id`` of each is its place in ``stores``.
        seconds: a limit for all of it, after which everything is stopped.
        silence: so many seconds without a printed line count as hanging: longer than any round takes.
        cpus: how many devices may compute at a time.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: Flower's commands are not installed, or a value cannot be given.
        ProtocolError: the SuperLink does not come up, or the run does not end in time.
    """
    if not is_installed("ray"):
        raise missing("simulation", "there is no module ray")
    simulation = f"num-supernodes={devices} client-resources-num-cpus=1 init-args-num-cpus={cpus}"
    chosen = " ".join(f"{key}={toml_value(value)}" for key, value in run_config.items())
    command = [command_of("flwr"), "run", str(app), _LINK, "--stream"]
    command += ["--run-config", chosen, "--federation-config", simulation]
    end, log = time.monotonic() + seconds, home / "run.log"
    while True:
        with superlink(home) as environment:
            if watched(command, environment, log, seconds=end - time.monotonic(), silence=silence):
                return log.read_text(encoding="utf-8", errors="replace")
        if time.monotonic() >= end:
            raise _late(seconds, log.read_text(encoding="utf-8", errors="replace"))


def watched(
    command: Sequence[str], environment: Mapping[str, str], log: Path, *, seconds: float, silence: float
) -> bool:
    """Run a command that prints as it goes; what it prints, errors too, is added to ``log``.

    Returns:
        Whether it came to its end. If not, it took longer than ``seconds`` or printed nothing for ``silence`` of them,
        and was stopped.
    """
    end = time.monotonic() + seconds
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env={**environment}, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        size, heard = log.stat().st_size, time.monotonic()
        while process.poll() is None:
            now = time.monotonic()
            if (grown := log.stat().st_size) != size:
                size, heard = grown, now
            if now > min(end, heard + silence):
                process.kill()
                process.wait()
                return False
            time.sleep(0.1)
    return True


def run_command(
    command: Sequence[str], environment: Mapping[str, str], *, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run one of Flower's commands to its end; what it prints, errors too, is in ``stdout``.

    Raises:
        ProtocolError: it takes longer than ``seconds``.
    """
    try:
        return subprocess.run(
            command,
            env={**environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        # What was printed until then is bytes, whatever `text` says.
        raise _late(seconds, (expired.output or b"").decode("utf-8", "replace")) from None


def _late(seconds: float, printed: str) -> ProtocolError:
    action = "\n".join(["Allow it more time. The last that it printed:", *printed.splitlines()[-_LAST_LINES:]])
    return ProtocolError("Flower's command did not end in time", value=f"{seconds:g} s", action=action)


@contextmanager
def superlink(home: Path) -> Iterator[dict[str, str]]:
    """A SuperLink for simulations while the context lasts; gives the environment in which `flwr` finds it.

    Raises:
        ConfigError: Flower's commands are not installed. ProtocolError: it does not come up.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    link = f'address = "127.0.0.1:{port}"\ninsecure = true\n'
    (home / "config.toml").write_text(f'[superlink]\ndefault = "{_LINK}"\n\n[superlink.{_LINK}]\n{link}')
    environment = {**environment_of(home), VARIABLE: "1"}
    command = [command_of("flower-superlink"), "--insecure", "--simulation", "--isolation", "subprocess"]
    with (home / "superlink.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--disable-runtime-dependency-installation"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        _await_start(process, port, home)
        yield environment
    finally:
        stop_all(process, home)


def environment_of(home: Path) -> dict[str, str]:
    """The environment in which Flower keeps all it writes in ``home``, and loads nothing from anywhere."""
    ours = {
        "FLWR_HOME": str(home),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # The runtime starts its parts by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    return {**os.environ, **ours}


def _await_start(process: subprocess.Popen[bytes], port: int, home: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        # Refused, reset or answered with an error: not up yet.
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=1.0):
            return
        time.sleep(0.1)
    raise ProtocolError("Flower's SuperLink did not come up", action=f"Look into {home / 'superlink.log'}")


def stop_all(process: subprocess.Popen[bytes], home: Path) -> None:
    """Ask the SuperLink to end, which ends what it started; whatever is left with our home is ended by its id."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end_all_of(home)


def end_all_of(home: Path) -> None:
    """Wait for what Flower started with this home, and end by its id whatever does not leave by itself."""
    end = time.monotonic() + _STOP_SECONDS
    while processes_of(home) and time.monotonic() < end:
        time.sleep(0.1)
    # Again until they are gone: a busy machine takes its time to bury them, and one may have started another.
    end = time.monotonic() + _STOP_SECONDS
    while (left := processes_of(home)) and time.monotonic() < end:
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.05)


def processes_of(home: Path) -> list[int]:
    """Ids of processes whose environment names this home, this process excepted; none where there is no ``/proc``."""
    mark = f"FLWR_HOME={home}".encode()
    found = []
    for directory in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):
            if mark in (directory / "environ").read_bytes().split(b"\0"):
                found.append(int(directory.name))
    return [number for number in found if number != os.getpid()]


def command_of(name: str) -> str:
    """Path of one of Flower's commands. Raises ConfigError where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        action = "It comes with flwr: install fedrec afresh, or put the command on PATH"
        raise ConfigError(f"the command {name} is not installed", action=action)
    return found


def toml_value(value: str | int | float) -> str:
    """A value as the command line takes it. Raises ConfigError for a text that cannot be quoted."""
    if not isinstance(value, str):
        return str(value)
    quote = next((mark for mark in "'\"" if mark not in value), None)
    if quote is None or "\n" in value or (quote == '"' and "\\" in value):
        raise ConfigError("a text for the run-config has both kinds of quotes, or several lines", value=value)
    return f"{quote}{value}{quote}"


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
