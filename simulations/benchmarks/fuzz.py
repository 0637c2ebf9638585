"""Fuzz what is parsed: releases, messages, data, settings, stores. Whatever is no FedrecError is a finding.

``python -m simulations.benchmarks.fuzz --target messages --seconds 600`` prints what was found as JSON.  Inputs are
mutations of seeds that are read without an error, and of each other.  Findings are told apart by the line of fedrec
that they come from; the input of each is in ``--keep``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from fedrec.errors import FedrecError
from simulations.benchmarks.fuzz_targets import TARGETS

SLOW_SECONDS: Final = 20
_MEMORY_BYTES: Final = 4 << 30
_POOL: Final = 400
_LONGEST: Final = 80_000
_ODD: Final = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff" * 8, b"1e999", b"NaN", b"-1")
_WORDS: Final = (
    b'"',
    b"'",
    b",",
    b"\n",
    b"\t",
    b"[",
    b"]",
    b"{",
    b"}",
    b"=",
    b"null",
    b"true",
    b"\xed\xa0\x80",
    b"9" * 400,
)


class TooSlowError(Exception):
    """One input took longer than `SLOW_SECONDS`."""


@dataclass
class Findings:
    """What was found: by where it comes from, an input of it and its text."""

    tried: int = 0
    refused: int = 0
    by_place: dict[str, dict[str, Any]] = field(default_factory=dict)

    def attempt(self, target: Any, data: bytes) -> bool:
        """Give a target one input; whether it was read without an error."""
        self.tried += 1
        try:
            with _in_time():
                target(data)
        except FedrecError:
            self.refused += 1
            return False
        except Exception as error:
            if type(error).__name__ == "UnreadableError":  # what decoders say to their callers, who count it
                self.refused += 1
                return False
            found = self.by_place.setdefault(_place_of(error), {"error": repr(error)[:300], "times": 0, "input": data})
            found["times"] += 1
            if len(data) < len(found["input"]):
                found["input"] = data
            return False
        return True

    def facts(self) -> dict[str, Any]:
        """As JSON, without the inputs."""
        shown = {place: {"error": one["error"], "times": one["times"]} for place, one in self.by_place.items()}
        return {"tried": self.tried, "refused": self.refused, "findings": shown}


@contextmanager
def _in_time() -> Iterator[None]:
    def late(_number: int, _frame: FrameType | None) -> None:
        raise TooSlowError(f"longer than {SLOW_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SLOW_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _place_of(error: BaseException) -> str:
    frames = [one for one in traceback.extract_tb(error.__traceback__) if f"{os.sep}fedrec{os.sep}" in one.filename]
    if not frames:
        return f"{type(error).__name__} outside"
    return f"{type(error).__name__} {frames[-1].filename.rpartition(f'{os.sep}fedrec{os.sep}')[2]}:{frames[-1].lineno}"


def mutated(pool: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the pool, changed in a few places; what it is for (the first byte) stays, as a rule."""
    data = bytearray(rng.choice(pool))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at, end = sorted(rng.randrange(1, len(data) + 1) for _ in range(2))
        match rng.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(data):
                data[at] = rng.randrange(256)
            case 2:
                del data[at : min(end, at + rng.choice((1, 4, 64, 5000)))]
            case 3:
                data[at:at] = data[at : min(end, at + rng.choice((1, 8, 500)))] * rng.choice((1, 2, 20))
            case 4:
                data[at:at] = rng.choice(_ODD)
            case 5:
                data[at:at] = rng.choice(_WORDS)
            case 6:
                other = rng.choice(pool)
                data[at:end] = other[1:][at : at + rng.choice((4, 100, 2000))]
            case _:
                data[at : at + 4] = rng.choice((0, 1, len(data), 2**31, 2**32 - 1)).to_bytes(
                    4, rng.choice(("big", "little"))
                )
        data = data[:_LONGEST] or bytearray(1)
    return bytes(data)


def by_mutation(target: Any, seconds: float, seed: int) -> Findings:
    """Mutate seeds, and what was still read afterwards, for so long."""
    found, rng, pool = Findings(), random.Random(seed), list(target.seeds)
    for one in target.seeds:
        found.attempt(target, one)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(pool, rng)
        if found.attempt(target, data) and len(pool) < _POOL + len(target.seeds):
            pool.append(data)
    return found


def run(name: str, seconds: float, *, seed: int = 0, keep: Path | None = None) -> dict[str, Any]:
    """Fuzz one target for so long; what was found, JSON-able. ``keep``: a directory for the inputs of findings."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as directory:
        found = by_mutation(TARGETS[name](Path(directory)), seconds, seed)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for at, one in enumerate(found.by_place.values()):
            (keep / f"{name}-{at}").write_bytes(one["input"])
    return {"target": name, "seconds": seconds, **found.facts()}


def main() -> int:
    """Parse the command line, fuzz, print; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--target", required=True, choices=tuple(TARGETS))
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    # What asks for more memory than this is a finding, not an end.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    found = run(given.target, given.seconds, seed=given.seed, keep=given.keep)
    print(json.dumps(found, indent=1))
    return 1 if found["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
