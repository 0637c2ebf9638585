"""What a run takes on a quiet machine and beside processes that compute all the time, which this starts and stops.

A whole ``fedrec simulate`` of a shop, in a process of its own: it chooses its threads when it starts, from the cores
that it finds free then.  Quiet and busy runs take turns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from fedrec.errors import FedrecError
from fedrec.process_start import ADDED
from fedrec.simulation.bench.measuring import Machine, in_turn

SETTLE_SECONDS: Final = 0.3
"""Until processes that were started are seen to run."""
_SPIN: Final = "while True: pass"
_THREADS: Final = "import fedrec.process_start, torch; print(torch.get_num_threads())"


@dataclass(frozen=True)
class ShopRun:
    """A run of a shop's users, with a tower trained for ``rounds`` rounds, measured once, at the end.

    ``users``: at least 20.  ``preset``: as in `fedrec simulate PRESET`.
    """

    users: int
    rounds: int
    preset: str

    def command(self, data: Path, out: Path) -> list[str]:
        """The command line that runs it over a shop in ``data``."""
        words = [sys.executable, "-m", "fedrec.cli.main", "simulate", self.preset, "--data", str(data), "--json"]
        words += ["--out", str(out), "--set", f"training.rounds={self.rounds}", "--set", "evaluation.every=0"]
        return words


def run_busy(run: ShopRun, *, busy: int, seconds: float) -> dict[str, Any]:
    """Time the run quiet and beside ``busy`` busy processes, in turn, for about ``seconds`` seconds, thrice at least.

    Returns:
        ``quiet`` and ``loaded``: seconds of whole processes, start and imports included; ``ratio``: the median over the
        rounds of loaded to quiet; ``threads``: what a process chooses in either; and the machine.

    Raises:
        FedrecError: a run failed.
    """
    from fedrec.simulation.shop.generate import write_shop

    with TemporaryDirectory(prefix="fedrec-busy-") as directory:
        place = Path(directory)
        write_shop(place / "shop", users=run.users)
        environment = {name: value for name, value in os.environ.items() if name not in ADDED}
        environment["FEDREC_CACHE"] = str(place / "cache")

        def quiet() -> None:
            _run(run.command(place / "shop", place / "run"), environment)
            shutil.rmtree(place / "run")

        def loaded() -> None:
            with busy_processes(busy):
                quiet()

        found = in_turn({"quiet": quiet, "loaded": loaded}, seconds)
        threads = {"quiet": _threads(environment)}
        with busy_processes(busy):
            threads["loaded"] = _threads(environment)
    return {
        "busy": busy,
        "quiet": found["quiet"].facts(),
        "loaded": found["loaded"].facts(),
        "ratio": round(found["loaded"].ratio_to(found["quiet"]), 3),
        "threads": threads,
        **asdict(run),
        **Machine.here().facts(),
    }


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """While this is open, so many processes compute without a pause. They are ended, and waited for, at its end."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            started.append(subprocess.Popen([sys.executable, "-c", _SPIN]))
        time.sleep(SETTLE_SECONDS if count else 0)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FedrecError("a run to measure failed", value=done.stderr[-400:], action="Run it by itself")
    return done.stdout


def _threads(environment: dict[str, str]) -> int:
    return int(_run([sys.executable, "-c", _THREADS], environment))
