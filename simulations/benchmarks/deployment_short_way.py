"""The commands of docs/deployment.md, the short way, as they stand: how long from nothing to devices that rank offline?

    python -m simulations.benchmarks.deployment_short_way DIR

In DIR (new) it runs them in one shell at ports that are free, prints when each command began and how long it took, and
ends what they started. ``--keep`` leaves it up.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.client.flower_runtime import free_port
from fedrec.console import say
from fedrec.detached import ProcessMark
from fedrec.errors import ProtocolError

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
_MARK: Final = "@began"
_SECONDS: Final = 1500.0


@dataclass(frozen=True)
class ShortWay:
    """The page's three blocks of commands, at free ports: what an app has already, the way, and what comes after."""

    made: str
    run: str
    after: str

    @classmethod
    def of_page(cls) -> ShortWay:
        """As the page has it, but for the ports: others on the machine may have the usual ones."""
        page = _PAGE.read_text(encoding="utf-8")
        section = page[page.index("## The short way") : page.index("## Command by command")]
        listen, control, monitor = (free_port() for _ in range(3))
        chosen = f"--listen 127.0.0.1:{listen} --control-port {control} --monitor-port {monitor}"
        blocks = [
            re.sub(r"^\$ ", "", block, flags=re.MULTILINE)
            .replace("fedrec server init site", f"fedrec server init site {chosen}")
            .replace("127.0.0.1:9094", f"127.0.0.1:{monitor}")
            for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL)
        ]
        return cls(*blocks)


def shell(script: str, place: Path) -> str:
    """Run commands in a directory; returns what they print. Raises ProtocolError with the logs where one fails."""
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "FEDREC_CACHE": str(place / "cache"),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        logs = "".join(path.read_text(errors="replace")[-2000:] for path in place.rglob("*.log"))
        raise ProtocolError("a command failed", value=done.returncode, action=done.stdout + done.stderr + logs)
    return done.stdout


def processes(place: Path) -> list[ProcessMark]:
    """All processes that the state files name."""
    found: list[ProcessMark | None] = []
    for state in (place / "site" / "server" / "running.json", *place.glob("phone-*/running.json")):
        tree = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
        found += [ProcessMark.read(tree.get(name)) for name in ("process", "taking_part")]
        found += [ProcessMark.read(one.get("process")) for one in tree.get("processes", {}).values()]
    return [mark for mark in found if mark is not None]


@contextmanager
def ended(place: Path, *, keep: bool = False) -> Iterator[None]:
    """End what was started in a directory, when the context is left."""
    try:
        yield
    finally:
        for mark in [] if keep else processes(place):
            mark.end(10.0)


def timed(script: str, place: Path) -> list[tuple[str, float, float]]:
    """Each line of a script: its words, seconds from the first line's start to its own, and seconds that it took."""
    lines = script.strip().splitlines()
    marked = "\n".join(f'echo "{_MARK} $EPOCHREALTIME"\n{line}' for line in lines)
    said = shell(f'{marked}\necho "{_MARK} $EPOCHREALTIME"', place)
    at = [float(line.split()[1]) for line in said.splitlines() if line.startswith(_MARK)]
    return [(line, at[n] - at[0], at[n + 1] - at[n]) for n, line in enumerate(lines)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all of it and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave server and devices up")
    given = parser.parse_args(arguments)
    place = given.directory.absolute()
    place.mkdir(parents=True)
    way = ShortWay.of_page()
    with ended(place, keep=given.keep):
        shell(way.made, place)
        say(f"load before: {os.getloadavg()[0]:.1f}")
        begun, before = time.monotonic(), _processor()
        for line, since, took in timed(way.run, place):
            say(f"{since:7.1f} s + {took:5.1f} s  {line}")
        wall, commands = time.monotonic() - begun, _processor() - before
        say(f"{wall:.1f} s in all; the commands themselves took {commands:.1f} s of processor")
        say(f"load after: {os.getloadavg()[0]:.1f}")
    return 0


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
