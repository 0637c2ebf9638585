"""What the image of `Dockerfile` takes unpacked, added up from the installed files: no engine is needed to know.

``python -m server.deploy.image_size`` prints it.  Counted is what `pip install .` brings on a machine with CPU wheels,
as the Dockerfile asks for them, without byte code, and a base image as large as it is published.
"""

from __future__ import annotations

import importlib.metadata as metadata
import re
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

BASE_BYTES: Final = 135_000_000
"""python:3.12-slim-bookworm unpacked, amd64, rounded up."""
_LEFT_OUT: Final = ("torch/include/",)


def sizes(name: str = "fedrec") -> dict[str, int]:
    """Bytes of each distribution that ``name`` needs, itself among them, without extras that it does not ask for."""
    found: dict[str, int] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if (key, extras) in seen:
            continue
        seen.add((key, extras))
        distribution = metadata.distribution(name)
        found[key] = _bytes_of(distribution)
        for line in distribution.requires or ():
            wanted = Requirement(line)
            asked = ("", *extras)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in asked):
                waiting.append((wanted.name, frozenset(wanted.extras)))
    return found


def _bytes_of(distribution: metadata.Distribution) -> int:
    names = [file for file in distribution.files or () if file.suffix != ".pyc" and not str(file).startswith(_LEFT_OUT)]
    paths = (Path(str(file.locate())) for file in names)
    return sum(path.stat().st_size for path in paths if path.is_file())


def image_bytes() -> int:
    """Of the whole image."""
    return BASE_BYTES + sum(sizes().values())


if __name__ == "__main__":
    for one, size in sorted(sizes().items(), key=lambda pair: -pair[1])[:12]:
        print(f"{one:24} {size / 1e6:8.1f} MB")
    print(f"{'image':24} {image_bytes() / 1e6:8.1f} MB")
